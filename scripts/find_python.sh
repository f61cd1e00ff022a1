# Prints the first Python that can run the project: $PYTHON, or else the one in use, or else the machine's.
# Each is tried, because a version manager's shim may exist and yet run nothing.
refusals=
for python in ${PYTHON:-.venv/bin/python python3 python3.12 python3.11 python3.10 /usr/bin/python3}; do
    if command -v "$python" >/dev/null 2>&1; then
        refusal=$("$python" -E -s build/usable_python.py 2>&1) && echo "$python" && exit 0
    elif [ -n "$PYTHON" ]; then
        refusal="no such command"
    else
        continue
    fi
    refusals="$refusals${refusals:+; }$python: $(echo "$refusal" | head -n 1)"
done
echo "error: Python 3.10, 3.11 or 3.12 is needed (${refusals:-no Python found});" \
    "install one, or name it: make PYTHON=/path/to/python3.12" >&2
exit 1
