// The way back through products of patches with ranges of their own.

#pragma once

#include <cstdint>
#include <cstring>

#include "patch_ranges.hpp"
#include "patches.hpp"

namespace {

constexpr int64_t SEGMENTS = 8;      // sums of the weights' gradients that are made apart, whatever the number of threads
constexpr int64_t FEWEST = 1024;     // positions that are worth a segment of their own

inline int64_t up(int64_t n, int64_t step) { return (n + step - 1) / step * step; }

// The gradient of the weights of a group from positions [first, last): sum, (columns, up(depth, WIDE)), grows by
// Σ_p h[p] r[p]/h round(x h/r)[p].
template <bool CLIPS>
void add_weights_back(const float* x, const Patches& at, const float* ranges, const float* slopes, int64_t group, float half,
                      int64_t first, int64_t last, float* sum) {
    const int64_t depth = at.depth(), stride = up(depth, WIDE), n = at.columns, high = up(n, HIGH), all = at.groups * n;
    const float unit = (float)(1.0 / (double)half);
    float *u = scratch<3>(TILE * (stride + high)), *slope = u + TILE * stride;
    for (int64_t start = first; start < last; start += TILE) {
        const int64_t here = last - start < TILE ? last - start : TILE;
        positions(at, nullptr, start, start + here, [=, &at](int64_t i, const Position& position) {
            const float range = ranges[i * at.groups + group];
            float *to = u + (i - start) * stride, *of = slope + (i - start) * high;
            gather<CLIPS>(x, position, group, 1.0f / range * half, half, to);
            for (int64_t k = depth; k < stride; k++) to[k] = 0.0f;
            for (int64_t j = 0; j < high; j++) of[j] = j < n ? slopes[i * all + group * n + j] * range : 0.0f;
        });
        for (int64_t k = 0; k < stride; k += WIDE)
            for (int64_t j = 0; j < n; j += HIGH)
                multiply<2, true>(slope + j, 1, high, u + k, stride, here, unit, sum + j * stride + k, stride,
                                  n - j < HIGH ? n - j : HIGH, WIDE);
    }
}

// The same for all groups of one input and one output: sum is (taps, groups).
template <bool CLIPS>
void add_depthwise_back(const float* x, const Patches& at, const float* ranges, const float* slopes, float half,
                        int64_t first, int64_t last, float* sum) {
    const int64_t n = at.groups;
    const float unit = (float)(1.0 / (double)half);
    float *scale = scratch<3>(2 * n), *slope = scale + n;
    positions(at, nullptr, first, last, [=, &at](int64_t i, const Position& position) {
        for (int64_t c = 0; c < n; c++) {
            scale[c] = 1.0f / ranges[i * n + c] * half;
            slope[c] = slopes[i * n + c] * ranges[i * n + c] * unit;
        }
        for (int64_t k = 0; k < at.taps_y; k++)
            for (int64_t j = position.first; position.inside(k) && j < position.last; j++) {
                const float* from = x + position.line(k) + j * at.dilation_x * at.pixel;
                float* to = sum + (k * at.taps_x + j) * n;
                for (int64_t c = 0; c < n; c++) {
                    const float code = CLIPS ? convert(from[c], scale[c], half) : __builtin_rintf(from[c] * scale[c]);
                    to[c] = __builtin_fmaf(code, slope[c], to[c]);
                }
            }
    });
}

}  // namespace

extern "C" {

// The gradient of the weights, (groups columns, inputs, taps), from `slopes`, that of y r, (positions, groups columns).
void mho_patch_weights_back(const float* x, const Patches* given, const float* ranges, const float* slopes, float half,
                            int larger, float* out, int threads) {
    const Patches& at = *given;
    const bool cut = larger || clips(half), depthwise = at.depthwise();
    const int64_t all = at.positions(), depth = at.depth(), stride = up(depth, WIDE);
    const int64_t wanted = (all + FEWEST - 1) / FEWEST, segments = wanted < SEGMENTS ? wanted : SEGMENTS;
    const int64_t size = depthwise ? at.taps() * at.groups : at.groups * at.columns * stride;
    float* sums = scratch<2>(segments * size);
    std::memset(sums, 0, sizeof(float) * segments * size);
    split(segments, 1, threads, [=, &at](int64_t from, int64_t to) {
        for (int64_t s = from; s < to; s++) {
            const int64_t first = all * s / segments, last = all * (s + 1) / segments;
            float* sum = sums + s * size;
            if (depthwise) {
                (cut ? add_depthwise_back<true> : add_depthwise_back<false>)(x, at, ranges, slopes, half, first, last, sum);
                continue;
            }
            for (int64_t g = 0; g < at.groups; g++)
                (cut ? add_weights_back<true> : add_weights_back<false>)(x, at, ranges, slopes, g, half, first, last,
                                                                        sum + g * at.columns * stride);
        }
    });
    for (int64_t s = 1; s < segments; s++)
        for (int64_t i = 0; i < size; i++) sums[i] += sums[s * size + i];
    const int64_t taps = at.taps();
    for (int64_t c = 0; c < at.groups * at.columns; c++)
        for (int64_t j = 0; j < at.inputs; j++)
            for (int64_t k = 0; k < taps; k++)
                out[(c * at.inputs + j) * taps + k] = depthwise ? sums[k * at.groups + c] : sums[c * stride + k * at.inputs + j];
}

// The gradient of each range: Σ over the columns of a group of (g (y - shift) - slope plain) / range, in rows.
// y is the layer's output, plain that of its operator on x; shift may be null.
void mho_patch_ranges_slope(const float* g, const float* y, const float* shift, const float* slopes, const float* plain,
                            const float* ranges, int64_t positions, int64_t groups, int64_t columns, float* out,
                            int threads) {
    split(positions, 64, threads, [=](int64_t first, int64_t last) {
        for (int64_t i = first; columns == 1 && i < last; i++)
            for (int64_t c = 0, k = i * groups; c < groups; c++, k++)
                out[k] = (g[k] * (shift == nullptr ? y[k] : y[k] - shift[c]) - slopes[k] * plain[k]) / ranges[k];
        for (int64_t i = first * groups; columns > 1 && i < last * groups; i++) {
            const int64_t begin = i * columns;
            const float* off = shift == nullptr ? nullptr : shift + i % groups * columns;
            float lane[T] = {};
            int64_t j = 0;
            auto term = [&](int64_t k) {
                const float part = off == nullptr ? y[begin + k] : y[begin + k] - off[k];
                return g[begin + k] * part - slopes[begin + k] * plain[begin + k];
            };
            for (; j + T <= columns; j += T)
                for (int l = 0; l < T; l++) lane[l] += term(j + l);
            for (; j < columns; j++) lane[0] += term(j);
            for (int w = T / 2; w > 0; w /= 2)
                for (int l = 0; l < w; l++) lane[l] += lane[l + w];
            out[i] = lane[0] / ranges[i];
        }
    });
}

// Adds the gradient of each range to that of the number that set it, in dense rows: of the pixels with the largest magnitude
// the first of a patch's, and of its channels all that have it, in equal shares. Ranges of `smallest` were set by nobody.
void mho_patch_ranges_back(const float* x, const Patches* given, float smallest, const float* ranges, const float* slopes,
                           float* out, int threads) {
    const Patches& at = *given;
    const int64_t units = at.width * at.groups, n = at.inputs;
    float* most = scratch<2>(2 * at.images * at.height * units);
    float* shares = most + at.images * at.height * units;
    std::memset(shares, 0, sizeof(float) * at.images * at.height * units);
    split(at.images, 1, threads, [=, &at](int64_t from, int64_t to) {
        for (int64_t i = from * at.height; i < to * at.height; i++)
            largest_of_pixels(x + i * at.line, at, most + i * units);
        const int64_t per_image = at.out_height * at.out_width;
        positions(at, nullptr, from * per_image, to * per_image, [=, &at](int64_t i, const Position& position) {
            float* left = scratch<3>(at.groups);  // what no tap has taken yet
            const float *range = ranges + i * at.groups, *slope = slopes + i * at.groups;
            for (int64_t g = 0; g < at.groups; g++) left[g] = range[g] > smallest ? slope[g] : 0.0f;
            for (int64_t k = 0; k < at.taps_y; k++) {
                if (!position.inside(k)) continue;
                const int64_t line = (position.image * at.height + position.y0 + k * at.dilation_y) * units;
                for (int64_t j = position.first; j < position.last; j++) {
                    const int64_t unit = line + (position.x0 + j * at.dilation_x) * at.groups;
                    const float* of = most + unit;
                    float* to = shares + unit;
                    for (int64_t g = 0; g < at.groups; g++) {
                        const bool sets = of[g] == range[g];
                        to[g] += sets ? left[g] : 0.0f;
                        left[g] = sets ? 0.0f : left[g];
                    }
                }
            }
        });
        for (int64_t i = from * at.height * units; i < to * at.height * units; i++) {
            if (shares[i] == 0.0f) continue;
            const int64_t pixel = i / at.groups, g = i % at.groups;
            const float* of = x + pixel / at.width * at.line + pixel % at.width * at.pixel + g * n;
            float* back = out + i * n;
            int count = 0;
            for (int64_t j = 0; j < n; j++) count += std::fabs(of[j]) == most[i];
            const float share = shares[i] / (float)count;
            for (int64_t j = 0; j < n; j++) {
                const float signed_share = of[j] > 0.0f ? share : -share;
                back[j] += std::fabs(of[j]) == most[i] ? signed_share : 0.0f;
            }
        }
    });
}

// Planar images, dense, from dense rows.
void mho_from_rows(const float* x, float* out, int64_t images, int64_t columns, int64_t pixels, int threads) {
    split(images * strips_of(pixels), 1, threads, [=](int64_t first, int64_t last) {
        alignas(64) float t[T][T];
        strips(first, last, columns, pixels, [&](int64_t n, int64_t c, int64_t p) {
            const int high = fewer(pixels - p), wide = fewer(columns - c);
            load(x + (n * pixels + p) * columns + c, columns, high, wide, t);
            transpose(t);
            store(t, out + (n * columns + c) * pixels + p, pixels, wide, high);
        });
    });
}

}  // extern "C"
