// How tensors lie in memory, and tiles that are transposed in registers.

#pragma once

#include <cstdint>
#include <cstring>

#include "rows.hpp"

namespace {

enum Layout { ROWS = 0, PLANAR = 1, ROWS_TO_PLANAR = 2 };
enum Inputs { DENSE = 0, STRIDED = 1, IMAGES = 2 };

constexpr int STRIP = 128;       // pixels that are transposed channel by channel, so that lines of memory are used whole

inline void transpose(float t[T][T]) {  // four perfect shuffles of 16 rows
    Row r[T], q[T];
    std::memcpy(r, t, sizeof(r));
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < T / 2; i++) {
            q[2 * i] = __builtin_shufflevector(r[i], r[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
            q[2 * i + 1] =
                __builtin_shufflevector(r[i], r[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
        }
        std::memcpy(r, q, sizeof(r));
    }
    std::memcpy(t, r, sizeof(r));
}

// rows x columns numbers of a matrix with row length `stride` into a tile, and back; what is missing is zero.
inline void load(const float* from, int64_t stride, int rows, int columns, float t[T][T]) {
    if (rows == T && columns == T) {
        for (int i = 0; i < T; i++) std::memcpy(t[i], from + i * stride, sizeof(t[i]));
        return;
    }
    std::memset(t, 0, sizeof(float) * T * T);
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) t[i][j] = from[i * stride + j];
}

inline void store(float t[T][T], float* to, int64_t stride, int rows, int columns) {
    if (rows == T && columns == T) {
        for (int i = 0; i < T; i++) std::memcpy(to + i * stride, t[i], sizeof(t[i]));
        return;
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < columns; j++) to[i * stride + j] = t[i][j];
}

inline int fewer(int64_t left) { return left < T ? (int)left : T; }

inline int64_t strips_of(int64_t pixels) { return (pixels + STRIP - 1) / STRIP; }

// Calls work(image, channel, pixel) for the tiles of strips [first, last), counted through all images.
template <class Work>
inline void strips(int64_t first, int64_t last, int64_t channels, int64_t pixels, Work work) {
    for (int64_t strip = first; strip < last; strip++) {
        const int64_t n = strip / strips_of(pixels), start = strip % strips_of(pixels) * STRIP;
        const int64_t end = start + STRIP < pixels ? start + STRIP : pixels;
        for (int64_t c = 0; c < channels; c += T)
            for (int64_t p = start; p < end; p += T) work(n, c, p);
    }
}

// Calls work(i, run, column) for the runs of numbers [start, start + count) of a planar image that share a column.
template <class Work>
inline void planes(int64_t start, int64_t count, int64_t columns, int64_t pixels, Work work) {
    int64_t at = start % pixels, column = (start / pixels) % columns;
    for (int64_t i = 0; i < count;) {
        const int64_t run = pixels - at < count - i ? pixels - at : count - i;
        work(i, run, column);
        i += run;
        at = 0;
        column = column + 1 == columns ? 0 : column + 1;
    }
}

}  // namespace
