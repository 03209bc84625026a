// The conversion of the inputs at the rows, and its way back.

#pragma once

#include <cmath>
#include <cstdint>

#include "layouts.hpp"
#include "threads.hpp"

namespace {

inline float convert(float y, float scale, float half) {
    const float v = __builtin_rintf(y * scale);
    const float w = v < -half ? -half : v;
    return w > half ? half : w;
}

inline Row convert(Row y, float scale, float half) {
    const Row v = nearest(y * scale), least = Row{} - half, most = Row{} + half;
    const Row w = v < least ? least : v;
    return w > most ? most : w;
}

// The largest magnitude of n numbers, or `most` where that is larger.
inline float largest(const float* x, int64_t n, float most) {
    float lane[T];
    for (int l = 0; l < T; l++) lane[l] = most;
    int64_t i = 0;
    for (; i + T <= n; i += T)
        for (int l = 0; l < T; l++) lane[l] = std::fabs(x[i + l]) > lane[l] ? std::fabs(x[i + l]) : lane[l];
    for (; i < n; i++) lane[0] = std::fabs(x[i]) > lane[0] ? std::fabs(x[i]) : lane[0];
    for (int l = 1; l < T; l++) lane[0] = lane[l] > lane[0] ? lane[l] : lane[0];
    return lane[0];
}

}  // namespace

extern "C" {

// out = clip(round(x h/r), -h, h) / h, for inputs that lie
//   DENSE: anyhow, as the result does; images × columns × pixels numbers in all;
//   STRIDED: in rows of `columns` numbers, `stride` apart, images × pixels of them; the result's rows are dense;
//   IMAGES: planar, images `stride` apart; the result lies in dense rows.
// r is *reach, or where that is null h/r is `scale`.
void mho_quantise(const float* x, float* out, int how, int64_t images, int64_t columns, int64_t pixels, int64_t stride,
                  const float* reach, float scale, float half, int threads) {
    if (reach != nullptr) scale = 1.0f / *reach * half;  // as torch divides a number by a tensor
    const float unit = (float)(1.0 / (double)half);
    if (how == DENSE) {
        split(images * columns * pixels, STEP, threads, [=](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) out[i] = convert(x[i], scale, half) * unit;
        });
    } else if (how == STRIDED) {
        split(images * pixels, 1, threads, [=](int64_t first, int64_t last) {
            for (int64_t r = first; r < last; r++) {
                const float* from = x + r * stride;
                float* to = out + r * columns;
                for (int64_t i = 0; i < columns; i++) to[i] = convert(from[i], scale, half) * unit;
            }
        });
    } else {
        split(images * strips_of(pixels), 1, threads, [=](int64_t first, int64_t last) {
            alignas(64) float t[T][T];
            strips(first, last, columns, pixels, [&](int64_t n, int64_t c, int64_t p) {
                const int high = fewer(columns - c), wide = fewer(pixels - p);
                load(x + n * stride + c * pixels + p, pixels, high, wide, t);
                for (int i = 0; i < T; i++)
                    for (int j = 0; j < T; j++) t[i][j] = convert(t[i][j], scale, half) * unit;
                transpose(t);
                store(t, out + (n * pixels + p) * columns + c, columns, wide, high);
            });
        });
    }
}

// The same for rows of `columns` numbers, `stride` apart, each in a range of its own: its largest magnitude, or `smallest`
// where that is larger. Ranges go to `ranges`. half <= 0: x / r.
void mho_quantise_vectors(const float* x, float* out, float* ranges, int64_t columns, int64_t rows, int64_t stride,
                          float smallest, float half, int threads) {
    const float unit = half > 0.0f ? (float)(1.0 / (double)half) : 1.0f;
    split(rows, 1, threads, [=](int64_t first, int64_t last) {
        for (int64_t r = first; r < last; r++) {
            const float* from = x + r * stride;
            float* to = out + r * columns;
            const float reach = largest(from, columns, smallest);
            ranges[r] = reach;
            if (half > 0.0f) {
                const float scale = 1.0f / reach * half;
                for (int64_t j = 0; j < columns; j++) to[j] = convert(from[j], scale, half) * unit;
            } else {
                for (int64_t j = 0; j < columns; j++) to[j] = from[j] / reach;
            }
        }
    });
}

// The way back through the DAC: out = g / r where |x h/r| <= h, else 0; h/r as in mho_quantise. DENSE: g, x and out lie
// alike, n = images × columns × pixels numbers. IMAGES: g in dense rows, x and out planar, images `stride` apart.
void mho_quantise_back(const float* g, const float* x, float* out, int how, int64_t images, int64_t columns,
                       int64_t pixels, int64_t stride, const float* reach, float scale, float half, int threads) {
    if (reach != nullptr) scale = 1.0f / *reach * half;  // as torch divides a number by a tensor
    const float slope = (float)(1.0 / (double)half) * scale;
    if (how == DENSE) {
        split(images * columns * pixels, STEP, threads, [=](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) out[i] = std::fabs(x[i] * scale) <= half ? g[i] * slope : 0.0f;
        });
        return;
    }
    split(images * strips_of(pixels), 1, threads, [=](int64_t first, int64_t last) {
        alignas(64) float t[T][T];
        alignas(64) float v[T][T];
        strips(first, last, columns, pixels, [&](int64_t n, int64_t c, int64_t p) {
            const int high = fewer(pixels - p), wide = fewer(columns - c);
            const int64_t at = n * stride + c * pixels + p;
            load(g + (n * pixels + p) * columns + c, columns, high, wide, t);
            load(x + at, pixels, wide, high, v);
            transpose(t);
            for (int i = 0; i < T; i++)
                for (int j = 0; j < T; j++) t[i][j] = std::fabs(v[i][j] * scale) <= half ? t[i][j] * slope : 0.0f;
            store(t, out + at, pixels, wide, high);
        });
    });
}

}  // extern "C"
