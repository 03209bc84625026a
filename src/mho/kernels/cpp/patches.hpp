// Convolutions whose every patch is an input vector with a range of its own.
//
// A number of the input stands in several patches and has another code in each, so it cannot be converted ahead. Patches
// are gathered and converted a few output positions at a time, into memory that stays in the second-level cache, and
// multiplied there: nothing is unfolded in main memory. How positions are shared out does not change what they become.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <new>

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
};

namespace {

// An output position: where its patch begins, and the taps [first, last) of a line that lie inside the image.
struct Position {
    const Patches& at;
    int64_t image, row, column, y0, x0, first, last;

    Position(const Patches& at, int64_t number)
        : at(at), image(number / (at.out_height * at.out_width)), row(number / at.out_width % at.out_height),
          column(number % at.out_width) {
        enter();
    }

    void enter() {
        y0 = row * at.stride_y - at.before_y;
        x0 = column * at.stride_x - at.before_x;
        first = 0;
        last = at.taps_x;
        while (first < last && x0 + first * at.dilation_x < 0) first++;
        while (last > first && x0 + (last - 1) * at.dilation_x >= at.width) last--;
    }

    void next() {
        if (++column == at.out_width) {
            column = 0;
            if (++row == at.out_height) row = 0, image++;
        }
        enter();
    }

    bool inside(int64_t i) const { return y0 + i * at.dilation_y >= 0 && y0 + i * at.dilation_y < at.height; }
    // Distance of the input pixel of tap (i, 0) from the beginning of the images.
    int64_t line(int64_t i) const {
        return (image * at.height + y0 + i * at.dilation_y) * at.line + x0 * at.pixel;
    }
};

// Calls work(i, position) for i in [first, last): all positions, or those of a list.
template <class Work>
inline void positions(const Patches& at, const int64_t* list, int64_t first, int64_t last, Work work) {
    Position position(at, list == nullptr ? first : list[first]);
    for (int64_t i = first; i < last; i++) {
        work(i, position);
        if (i + 1 == last) break;
        if (list == nullptr)
            position.next();
        else
            new (&position) Position(at, list[i + 1]);
    }
}

// Nearest whole numbers of magnitudes below 2^22.
inline Row rounded(Row v) { return (v + 12582912.0f) - 12582912.0f; }

template <bool CLIPS>
inline void convert_run(const float* from, float* to, int64_t n, float scale, float half) {
    int64_t i = 0;
    for (; !CLIPS && i + T <= n; i += T) {
        Row v;
        std::memcpy(&v, from + i, sizeof(v));
        v = rounded(v * scale);
        std::memcpy(to + i, &v, sizeof(v));
    }
    for (; i < n; i++) to[i] = convert(from[i], scale, half);
}

// The largest code needs no clipping where it is whole and has room above: |x| h/r is at most h, but for rounding.
inline bool clips(float half) { return half != __builtin_rintf(half) || half > 1048576.0f; }

// y (+)= unit × the sums over `depth` of HIGH rows of u times T V columns of w. Along the rows of u it is `row` from one
// number to the next, along the depth `deep`; along the depth of w `across`. Only `high` × `wide` sums are stored.
#if !defined(__clang__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=fast")
#endif
template <int V, bool ADD>
void multiply(const float* u, int64_t row, int64_t deep, const float* w, int64_t across, int64_t depth, float unit, float* y,
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
        Row b[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) std::memcpy(&b[v], w + k * across + v * T, sizeof(Row));
#pragma GCC unroll 16
        for (int m = 0; m < HIGH; m++) {
            const Row a = u[m * row + k * deep] - Row{};
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) sum[m][v] += a * b[v];
        }
    }
    float all[HIGH][T * V];
#pragma GCC unroll 16
    for (int m = 0; m < HIGH; m++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[m][v] *= unit;
    if (high == HIGH && wide == T * V) {
#pragma GCC unroll 16
        for (int m = 0; m < HIGH; m++)
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) {
                Row before = Row{};
                if (ADD) std::memcpy(&before, y + m * columns + v * T, sizeof(Row));
                before += sum[m][v];
                std::memcpy(y + m * columns + v * T, &before, sizeof(Row));
            }
        return;
    }
    std::memcpy(all, sum, sizeof(all));
    for (int64_t m = 0; m < high; m++)
        for (int64_t j = 0; j < wide; j++) y[m * columns + j] = ADD ? y[m * columns + j] + all[m][j] : all[m][j];
}
#if !defined(__clang__)
#pragma GCC pop_options
#endif

// Columns of a panel that holds `left` of them or more: 2 T, or T where that is enough.
inline int64_t panel_of(int64_t left) { return left > T ? WIDE : T; }

// Weights (columns, inputs, taps) of a group as panels of columns, (depth, columns of a panel) each, taps before inputs.
void pack_weights(const float* weight, const Patches& at, float* packed) {
    const int64_t depth = at.depth(), taps = at.taps(), inputs = at.inputs;
    float* ordered = scratch<3>(T * depth);
    alignas(64) float t[T][T];
    for (int64_t c = 0; c < at.columns; c += WIDE) {
        const int64_t wide = panel_of(at.columns - c);
        for (int64_t half = 0; half < wide; half += T) {
            const int64_t here = at.columns - c - half < T ? at.columns - c - half : T;
            const float* from = weight + (c + half) * depth;
            if (taps > 1) {
                for (int64_t j = 0; j < here; j++)
                    for (int64_t k = 0; k < taps; k++)
                        for (int64_t i = 0; i < inputs; i++) ordered[j * depth + k * inputs + i] = from[j * depth + i * taps + k];
                from = ordered;
            }
            for (int64_t k = 0; k < depth; k += T) {
                load(from + k, depth, (int)here, fewer(depth - k), t);
                transpose(t);
                store(t, packed + k * wide + half, wide, fewer(depth - k), T);
            }
        }
        packed += depth * wide;
    }
}

inline int64_t packed_size(const Patches& at) {
    return at.depth() * (at.columns / WIDE * WIDE + (at.columns % WIDE ? panel_of(at.columns % WIDE) : 0));
}

// The patch of a position and group, converted: taps × inputs codes.
template <bool CLIPS>
inline void gather(const float* x, const Position& position, int64_t group, float scale, float half, float* u) {
    const Patches& at = position.at;
    const int64_t n = at.inputs, line = at.taps_x * n, first = position.first, last = position.last;
    const bool joined = at.pixel == n && at.dilation_x == 1;
    for (int64_t i = 0; i < at.taps_y; i++, u += line) {
        if (!position.inside(i) || first >= last) {
            std::memset(u, 0, sizeof(float) * line);
            continue;
        }
        const float* from = x + position.line(i) + group * n;
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

template <bool CLIPS>
void multiply_patches(const float* x, const Patches& at, const float* packed, const float* ranges, const int64_t* list,
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
                positions(at, list, start, start + here, [=, &at](int64_t i, const Position& position) {
                    const float scale = 1.0f / ranges[i * at.groups + g] * half;
                    gather<CLIPS>(x, position, g, scale, half, u + (i - start) * stride);
                });
                const float* panel = packed + g * size;
                for (int64_t c = 0; c < at.columns; c += WIDE) {
                    const int64_t left = at.columns - c, wide = left < WIDE ? left : WIDE;
                    float* to = y + start * all + g * at.columns + c;
                    for (int64_t i = 0; i < here; i += HIGH) {
                        const int64_t high = here - i < HIGH ? here - i : HIGH, across = panel_of(left);
                        (wide > T ? multiply<2, false> : multiply<1, false>)(
                            u + i * stride, stride, 1, panel, across, depth, unit, to + i * all, all, high, wide);
                    }
                    panel += depth * panel_of(left);
                }
            }
        }
    });
}

// Up to T groups of one input and one output each, for one position: y = unit Σ_k w[k] round(x[k] h/r).
template <bool CLIPS, bool FULL>
inline void multiply_groups(const float* const* x, const float* const* w, int64_t taps, int64_t group, int wide,
                            const float* ranges, float half, float unit, float* y) {
    const size_t bytes = FULL ? sizeof(Row) : sizeof(float) * wide;
    Row range = Row{} + 1.0f, sum = Row{};
    std::memcpy(&range, ranges + group, bytes);
    const Row scale = 1.0f / range * half;
    for (int64_t k = 0; k < taps; k++) {
        Row v = Row{}, b;
        std::memcpy(&v, x[k] + group, bytes);
        std::memcpy(&b, w[k] + group, sizeof(b));
        if (CLIPS)
            for (int l = 0; l < T; l++) v[l] = convert(v[l], scale[l], half);
        else
            v = rounded(v * scale);
        sum += v * b;
    }
    sum *= unit;
    std::memcpy(y + group, &sum, bytes);
}

// One input and one output a group: nothing is gathered, groups lie beside each other. by_tap: (taps, n), n = groups
// rounded up to whole Rows.
template <bool CLIPS>
void multiply_depthwise(const float* x, const Patches& at, const float* by_tap, const float* ranges, const int64_t* list,
                        int64_t count, float half, float* y, int threads) {
    const int64_t groups = at.groups, n = (groups + T - 1) / T * T;
    const float unit = (float)(1.0 / (double)half);
    split(count, 1, threads, [=, &at](int64_t first, int64_t last) {
        const float** from = (const float**)scratch<3>(4 * at.taps());
        const float** weights = from + at.taps();
        positions(at, list, first, last, [=, &at](int64_t i, const Position& position) {
            int64_t taps = 0, c = 0;
            for (int64_t k = 0; k < at.taps_y; k++)
                for (int64_t j = position.first; position.inside(k) && j < position.last; j++, taps++) {
                    from[taps] = x + position.line(k) + j * at.dilation_x * at.pixel;
                    weights[taps] = by_tap + (k * at.taps_x + j) * n;
                }
            const float* range = ranges + i * groups;
            float* to = y + i * groups;
            for (; c + T <= groups; c += T)
                multiply_groups<CLIPS, true>(from, weights, taps, c, T, range, half, unit, to);
            if (c < groups)
                multiply_groups<CLIPS, false>(from, weights, taps, c, (int)(groups - c), range, half, unit, to);
        });
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

// y[i] = sum over the patch of position i of w round(x h/r) / h, in dense rows of all columns, for `count` positions of a
// list, or of all where that is null. ranges: (count, groups). weight: (groups columns, inputs, taps).
// larger: inputs may be larger than their range, and are clipped.
void mho_patch_products(const float* x, const Patches* given, const float* weight, const float* ranges, const int64_t* list,
                        int64_t count, float half, int larger, float* y, int threads) {
    const Patches& at = *given;
    const bool cut = larger || clips(half);
    if (at.depthwise()) {
        const int64_t n = (at.groups + T - 1) / T * T;
        float* by_tap = scratch<2>(at.taps() * n);
        for (int64_t k = 0; k < at.taps(); k++)
            for (int64_t g = 0; g < n; g++) by_tap[k * n + g] = g < at.groups ? weight[g * at.taps() + k] : 0.0f;
        (cut ? multiply_depthwise<true> : multiply_depthwise<false>)(x, at, by_tap, ranges, list, count,
                                                                             half, y, threads);
        return;
    }
    float* packed = scratch<2>(at.groups * packed_size(at));
    for (int64_t g = 0; g < at.groups; g++)
        pack_weights(weight + g * at.columns * at.depth(), at, packed + g * packed_size(at));
    (cut ? multiply_patches<true> : multiply_patches<false>)(x, at, packed, ranges, list, count, half, y,
                                                                     threads);
}

}  // extern "C"
