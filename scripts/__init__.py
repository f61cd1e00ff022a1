"""The commands of the Makefile, one small file each; measurements in bench/, faults in soak/ and fuzz/."""
