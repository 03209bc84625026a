// Convolutions whose every patch is an input vector with a range of its own.
//
// A number of the input stands in several patches and has another code in each, so it cannot be converted ahead. Patches
// are gathered and converted a few output positions at a time, into memory that stays in the second-level cache, and
// multiplied there: nothing is unfolded in main memory. How positions are shared out does not change what they become.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "layouts.hpp"
#include "quantise.hpp"
#include "threads.hpp"

namespace {

#if defined(__AVX512F__)
constexpr int HIGH = 12;  // positions whose sums stay in registers, beside 2 T columns
#elif defined(__AVX__) || defined(__ARM_NEON)
constexpr int HIGH = 3;
#else
constexpr int HIGH = 1;
#endif
constexpr int WIDE = 2 * T;             // columns of a panel of weights
constexpr int64_t TILE = 96;            // positions of a tile, in which HIGH goes up
constexpr int64_t GATHERED = 1 << 16;   // numbers that a tile may have, about

}  // namespace

// Geometry of a convolution of images in rows; filled in by `patches.py`, in this order.
struct Patches {
    int64_t images, height, width, line, pixel;  // distance of lines and pixels, in numbers
    int64_t groups, inputs, columns;             // channels of a group, before and after
    int64_t taps_y, taps_x, stride_y, stride_x, before_y, before_x, dilation_y, dilation_x;
    int64_t out_height, out_width;

    int64_t positions() const { return images * out_height * out_width; }
    int64_t taps() const { return taps_y * taps_x; }
    int64_t depth() const { return taps() * inputs; }
    bool depthwise() const { return inputs == 1 && columns == 1; }
    bool pointwise() const {
        return taps() == 1 && stride_y == 1 && stride_x == 1 && before_y == 0 && before_x == 0;
    }

    // Calls visit(tap, number of the input pixel) for the taps of an output position that lie inside the image.
    template <class Visit>
    void visit_taps(int64_t position, Visit visit) const {
        const int64_t x0 = position % out_width * stride_x - before_x, up = position / out_width;
        const int64_t y0 = up % out_height * stride_y - before_y, image = up / out_height;
        for (int64_t i = 0; i < taps_y; i++) {
            const int64_t y = y0 + i * dilation_y;
            if (y < 0 || y >= height) continue;
            for (int64_t j = 0; j < taps_x; j++) {
                const int64_t x = x0 + j * dilation_x;
                if (x >= 0 && x < width) visit(i * taps_x + j, (image * height + y) * width + x);
            }
        }
    }

    int64_t place(int64_t number) const { return number / width * line + number % width * pixel; }
};

namespace {

template <bool CLIPS>
inline void convert_run(const float* from, float* to, int64_t n, float scale, float half) {
    for (int64_t i = 0; i < n; i++)
        to[i] = CLIPS ? convert(from[i], scale, half) : __builtin_rintf(from[i] * scale);
}

// The largest code needs no clipping where it is whole and has room above: |x| h/r is at most h, but for rounding.
inline bool clips(float half) { return half != __builtin_rintf(half) || half > 1048576.0f; }

// Sums over the depth for `high` rows of u, `stride` apart, and a panel of columns, T V of them beside each other.
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#endif
template <int V>
void multiply(const float* u, int64_t stride, const float* panel, int64_t depth, float unit, float* y,
              int64_t columns, int64_t high, int64_t wide) {
#if defined(__clang__)
#pragma clang fp contract(fast)
#endif
    Row sum[HIGH][V];
#pragma GCC unroll 16
    for (int m = 0; m < HIGH; m++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[m][v] = Row{};
    for (int64_t k = 0; k < depth; k++) {
        Row w[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) std::memcpy(&w[v], panel + (k * V + v) * T, sizeof(Row));
#pragma GCC unroll 16
        for (int m = 0; m < HIGH; m++) {
            const Row all = u[m * stride + k] - Row{};
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) sum[m][v] += all * w[v];
        }
    }
#pragma GCC unroll 16
    for (int m = 0; m < HIGH; m++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[m][v] *= unit;
    if (high == HIGH && wide == T * V) {
#pragma GCC unroll 16
        for (int m = 0; m < HIGH; m++)
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) std::memcpy(y + m * columns + v * T, &sum[m][v], sizeof(Row));
        return;
    }
    float all[HIGH][T * V];
    std::memcpy(all, sum, sizeof(all));
    for (int64_t m = 0; m < high; m++) std::memcpy(y + m * columns, all[m], sizeof(float) * wide);
}
#if !defined(__clang__)
#pragma GCC pop_options
#endif

// Columns of a panel that holds `left` of them or more: 2 T, or T where that is enough.
inline int64_t panel_of(int64_t left) { return left > T ? WIDE : T; }

// Weights (columns, inputs, taps) of a group as panels of columns, (depth, columns of a panel) each, taps before inputs.
void pack_weights(const float* weight, const Patches& at, float* packed) {
    const int64_t depth = at.depth(), taps = at.taps();
    for (int64_t c = 0; c < at.columns; c += WIDE) {
        const int64_t wide = panel_of(at.columns - c), here = at.columns - c < wide ? at.columns - c : wide;
        for (int64_t k = 0; k < depth; k++) {
            const int64_t row = k % at.inputs * taps + k / at.inputs;
            for (int64_t j = 0; j < wide; j++) *packed++ = j < here ? weight[(c + j) * depth + row] : 0.0f;
        }
    }
}

inline int64_t packed_size(const Patches& at) {
    return at.depth() * (at.columns / WIDE * WIDE + (at.columns % WIDE ? panel_of(at.columns % WIDE) : 0));
}

// The patch of a position and group, converted: taps × inputs codes.
template <bool CLIPS>
inline void gather(const float* x, const Patches& at, int64_t position, int64_t group, float scale, float half, float* u) {
    const int64_t x0 = position % at.out_width * at.stride_x - at.before_x, up = position / at.out_width;
    const int64_t y0 = up % at.out_height * at.stride_y - at.before_y, image = up / at.out_height;
    const int64_t n = at.inputs, line = at.taps_x * n;
    int64_t first = 0, last = at.taps_x;  // taps that lie inside the image
    while (first < last && x0 + first * at.dilation_x < 0) first++;
    while (last > first && x0 + (last - 1) * at.dilation_x >= at.width) last--;
    const bool joined = at.pixel == n && at.dilation_x == 1;
    for (int64_t i = 0; i < at.taps_y; i++, u += line) {
        const int64_t y = y0 + i * at.dilation_y;
        if (y < 0 || y >= at.height || first == last) {
            std::memset(u, 0, sizeof(float) * line);
            continue;
        }
        const float* from = x + (image * at.height + y) * at.line + x0 * at.pixel + group * n;
        if (first > 0) std::memset(u, 0, sizeof(float) * first * n);
        if (last < at.taps_x) std::memset(u + last * n, 0, sizeof(float) * (at.taps_x - last) * n);
        if (joined) {
            convert_run<CLIPS>(from + first * n, u + first * n, (last - first) * n, scale, half);
            continue;
        }
        for (int64_t j = first; j < last; j++)
            convert_run<CLIPS>(from + j * at.dilation_x * at.pixel, u + j * n, n, scale, half);
    }
}

// Which positions a pass is about: all, or those of a list.
struct Positions {
    const int64_t* list;

    int64_t operator[](int64_t i) const { return list == nullptr ? i : list[i]; }
};

template <bool CLIPS>
void multiply_patches(const float* x, const Patches& at, const float* packed, const float* ranges, Positions positions,
                      int64_t count, float half, float* y, int threads) {
    const int64_t depth = at.depth(), stride = depth + T, all = at.groups * at.columns, size = packed_size(at);
    const float unit = (float)(1.0 / (double)half);
    int64_t tile = TILE;
    while (tile > HIGH && tile % 2 == 0 && (tile * depth > GATHERED || tile * threads > count)) tile /= 2;
    tile = (tile + HIGH - 1) / HIGH * HIGH;
    split(count, tile, threads, [=, &at](int64_t first, int64_t last) {
        float* u = scratch<3>(tile * stride);
        for (int64_t start = first; start < last; start += tile) {
            const int64_t here = last - start < tile ? last - start : tile;
            for (int64_t g = 0; g < at.groups; g++) {
                for (int64_t i = 0; i < here; i++) {
                    const float scale = 1.0f / ranges[(start + i) * at.groups + g] * half;
                    gather<CLIPS>(x, at, positions[start + i], g, scale, half, u + i * stride);
                }
                const float* panel = packed + g * size;
                for (int64_t c = 0; c < at.columns; c += WIDE) {
                    const int64_t left = at.columns - c, wide = left < WIDE ? left : WIDE;
                    float* to = y + start * all + g * at.columns + c;
                    for (int64_t i = 0; i < here; i += HIGH) {
                        const int64_t high = here - i < HIGH ? here - i : HIGH;
                        (wide > T ? multiply<2> : multiply<1>)(u + i * stride, stride, panel, depth, unit, to + i * all,
                                                               all, high, wide);
                    }
                    panel += depth * panel_of(left);
                }
            }
        }
    });
}

// One input and one output a group: nothing is gathered, groups lie beside each other.
template <bool CLIPS>
void multiply_depthwise(const float* x, const Patches& at, const float* by_tap, const float* ranges, Positions positions,
                        int64_t count, float half, float* y, int threads) {
    const int64_t n = at.groups;
    const float unit = (float)(1.0 / (double)half);
    split(count, 1, threads, [=, &at](int64_t first, int64_t last) {
        float *scale = scratch<3>(2 * n), *sum = scale + n;
        for (int64_t i = first; i < last; i++) {
            for (int64_t c = 0; c < n; c++) scale[c] = 1.0f / ranges[i * n + c] * half;
            std::memset(sum, 0, sizeof(float) * n);
            at.visit_taps(positions[i], [&](int64_t tap, int64_t number) {
                const float *from = x + at.place(number), *w = by_tap + tap * n;
                for (int64_t c = 0; c < n; c++) {
                    const float code = CLIPS ? convert(from[c], scale[c], half) : __builtin_rintf(from[c] * scale[c]);
                    sum[c] = __builtin_fmaf(code, w[c], sum[c]);
                }
            });
            for (int64_t c = 0; c < n; c++) y[i * n + c] = sum[c] * unit;
        }
    });
}

// The largest magnitude of each group of channels at each pixel.
void largest_of_pixels(const float* x, const Patches& at, float* most, int threads) {
    split(at.images * at.height * at.width, 64, threads, [=, &at](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++)
            for (int64_t g = 0; g < at.groups; g++)
                most[i * at.groups + g] = largest(x + at.place(i) + g * at.inputs, at.inputs, 0.0f);
    });
}

}  // namespace

extern "C" {

// x in rows, dense, from planar images that are `stride` apart.
void mho_to_rows(const float* x, float* out, int64_t images, int64_t columns, int64_t pixels, int64_t stride, int threads) {
    split(images * strips_of(pixels), 1, threads, [=](int64_t first, int64_t last) {
        alignas(64) float t[T][T];
        strips(first, last, columns, pixels, [&](int64_t n, int64_t c, int64_t p) {
            const int high = fewer(columns - c), wide = fewer(pixels - p);
            load(x + n * stride + c * pixels + p, pixels, high, wide, t);
            transpose(t);
            store(t, out + (n * pixels + p) * columns + c, columns, wide, high);
        });
    });
}

// The range of each patch, (positions, groups): its largest magnitude, or `smallest` where that is larger.
void mho_patch_ranges(const float* x, const Patches* given, float smallest, float* ranges, int threads) {
    const Patches& at = *given;
    const int64_t groups = at.groups;
    const bool single = at.inputs == 1;
    float* most = nullptr;
    if (!single) {
        most = at.pointwise() ? ranges : scratch<2>(at.images * at.height * at.width * groups);
        largest_of_pixels(x, at, most, threads);
    }
    split(at.positions(), 64, threads, [=, &at](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) {
            float* range = ranges + i * groups;
            if (most == ranges) {
                for (int64_t g = 0; g < groups; g++) range[g] = range[g] > smallest ? range[g] : smallest;
                continue;
            }
            for (int64_t g = 0; g < groups; g++) range[g] = smallest;
            at.visit_taps(i, [&](int64_t, int64_t number) {
                const float* from = single ? x + at.place(number) : most + number * groups;
                for (int64_t g = 0; g < groups; g++) {
                    const float size = std::fabs(from[g]);
                    range[g] = size > range[g] ? size : range[g];
                }
            });
        }
    });
}

// y[i] = sum over the patch of position i of w round(x h/r) / h, in dense rows of all columns, for `count` positions of a
// list, or of all where that is null. ranges: (count, groups). weight: (groups columns, inputs, taps).
// larger: inputs may be larger than their range, and are clipped.
void mho_patch_products(const float* x, const Patches* given, const float* weight, const float* ranges, const int64_t* list,
                        int64_t count, float half, int larger, float* y, int threads) {
    const Patches& at = *given;
    const bool cut = larger || clips(half);
    if (at.depthwise()) {
        float* by_tap = scratch<2>(at.taps() * at.groups);
        for (int64_t k = 0; k < at.taps(); k++)
            for (int64_t g = 0; g < at.groups; g++) by_tap[k * at.groups + g] = weight[g * at.taps() + k];
        (cut ? multiply_depthwise<true> : multiply_depthwise<false>)(x, at, by_tap, ranges, Positions{list}, count,
                                                                             half, y, threads);
        return;
    }
    float* packed = scratch<2>(at.groups * packed_size(at));
    for (int64_t g = 0; g < at.groups; g++)
        pack_weights(weight + g * at.columns * at.depth(), at, packed + g * packed_size(at));
    (cut ? multiply_patches<true> : multiply_patches<false>)(x, at, packed, ranges, Positions{list}, count, half, y,
                                                                     threads);
}

}  // extern "C"
