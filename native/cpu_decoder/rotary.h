// Rotary position embedding (arXiv:2104.09864), in Hugging Face's order: a head's halves are turned together.
#pragma once

// cosines and sines have the length of frequencies.
void find_angles(int position, const float *frequencies, int count, float *cosines, float *sines);
void rotate(float *head, const float *cosines, const float *sines, int half, float scale);
