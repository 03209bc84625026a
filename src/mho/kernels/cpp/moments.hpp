// Sums beside the product itself, for IR drop and for the noise of weights: Σ a |u|, Σ b u, Σ c u² over each patch.
//
// Inputs are codes, whole numbers. With weights as whole numbers of 16 bits these sums are whole, too: exact, and the
// processor's instructions for them take two products at a time where numbers of 32 bits take one. A sum has 32 bits, so that
// the deeper it is, the fewer levels are left to the weights: deep ones are cut into parts, which are added as real numbers.

#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include "patches.hpp"
#include "threads.hpp"

#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#include <immintrin.h>

namespace {

template <int WHICH>
int16_t* whole(int64_t n) {  // kept by the thread from call to call
    static thread_local std::vector<int16_t> kept;
    if ((int64_t)kept.size() < n) kept.resize(n);
    return kept.data();
}

constexpr double LEVELS = 32767, LEVELS_OF_SQUARES = 256;  // of a column's largest weight at least; inputs' squares have 16 bits

// How the sum of products with codes of up to `most` is cut, so that each part has room for `levels` of the weights.
struct Parts {
    int64_t pairs, count;
    double limit;  // what a column's largest weight becomes

    Parts(int64_t depth, double most, double levels) {
        const int64_t all = (depth + 1) / 2, fit = (int64_t)(2147483647.0 / (most * levels)) / 2;
        count = (all + fit - 1) / fit;
        pairs = (all + count - 1) / count;
        const double room = std::floor(2147483647.0 / (most * 2 * pairs));
        limit = room < 32767.0 ? room : 32767.0;
    }
};

// Weights of a group as panels of T columns, pairs along the depth beside each other, taps before inputs; a column's largest
// becomes `limit`. factor: what makes real sums of theirs.
void pack_whole(const float* weight, const Patches& at, double most, double limit, int16_t* packed, float* factor) {
    const int64_t depth = at.depth(), pairs = (depth + 1) / 2, taps = at.taps();
    std::memset(packed, 0, sizeof(int16_t) * ((at.columns + T - 1) / T) * pairs * 2 * T);
    for (int64_t j = 0; j < at.columns; j++) {
        const float *from = weight + j * depth, highest = largest(from, depth, 0.0f);
        const float scale = highest > 0.0f ? (float)(limit / highest) : 0.0f;
        int16_t* to = packed + j / T * pairs * 2 * T + j % T * 2;
        for (int64_t k = 0, d = 0; k < taps; k++)
            for (int64_t i = 0; i < at.inputs; i++, d++)
                to[d / 2 * 2 * T + d % 2] = (int16_t)__builtin_rintf(from[i * taps + k] * scale);
        factor[j] = (float)(highest / (limit * most));
    }
}

// y = factor × the sums over pairs first … last - 1 of HIGH rows of u times T V columns of w, added to y where first > 0; only
// `high` × `wide` of them are stored.
template <int V>
void multiply_whole(const int16_t* u, int64_t row, const int16_t* w, int64_t pairs, int64_t first, int64_t last,
                    const float* factor, float* y, int64_t columns, int64_t high, int64_t wide) {
    __m512i sum[HIGH][V];
#pragma GCC unroll 16
    for (int m = 0; m < HIGH; m++)
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) sum[m][v] = _mm512_setzero_si512();
    for (int64_t k = first; k < last; k++) {
        __m512i b[V];
#pragma GCC unroll 2
        for (int v = 0; v < V; v++) b[v] = _mm512_loadu_si512(w + (v * pairs + k) * 2 * T);
#pragma GCC unroll 16
        for (int m = 0; m < HIGH; m++) {
            int32_t pair;
            std::memcpy(&pair, u + m * row + 2 * k, sizeof(pair));
            const __m512i a = _mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int v = 0; v < V; v++) sum[m][v] = _mm512_dpwssd_epi32(sum[m][v], a, b[v]);
        }
    }
#pragma GCC unroll 2
    for (int v = 0; v < V; v++) {
        const int64_t left = wide - v * T;
        const __mmask16 some = left >= T ? 0xffff : (__mmask16)((1 << left) - 1);
        const __m512 f = _mm512_maskz_loadu_ps(some, factor + v * T);
#pragma GCC unroll 16
        for (int m = 0; m < HIGH; m++)
            if (m < high) {
                float* to = y + m * columns + v * T;
                const __m512 part = _mm512_mul_ps(_mm512_cvtepi32_ps(sum[m][v]), f);
                _mm512_mask_storeu_ps(to, some, first > 0 ? _mm512_add_ps(_mm512_maskz_loadu_ps(some, to), part) : part);
            }
    }
}

// The patch of a position and group: taps × inputs codes.
inline void gather_whole(const int16_t* x, const Position& position, int64_t group, int16_t* u) {
    const Patches& at = position.at;
    const int64_t n = at.inputs, line = at.taps_x * n, first = position.first, last = position.last;
    const bool joined = at.pixel == n && at.dilation_x == 1;
    for (int64_t i = 0; i < at.taps_y; i++, u += line) {
        if (!position.inside(i) || first >= last) {
            std::memset(u, 0, sizeof(int16_t) * line);
            continue;
        }
        const int16_t* from = x + position.line(i) + group * n;
        if (first > 0) std::memset(u, 0, sizeof(int16_t) * first * n);
        if (last < at.taps_x) std::memset(u + last * n, 0, sizeof(int16_t) * (at.taps_x - last) * n);
        if (joined) {
            std::memcpy(u + first * n, from + first * n, sizeof(int16_t) * (last - first) * n);
            continue;
        }
        for (int64_t j = first; j < last; j++)
            std::memcpy(u + j * n, from + j * at.dilation_x * at.pixel, sizeof(int16_t) * n);
    }
}

}  // namespace
#endif

extern "C" {

// True where the sums can be had.
int mho_has_moments() {
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    return 1;
#else
    return 0;
#endif
}

// Σ a |u|, Σ b u and Σ c u² over the patch of each position into `to_a`, `to_b`, `to_c`, dense rows of all columns; a with
// `to_a`, or any other pair, may be null. u: dense rows of codes / half, codes up to 181. Weights: (groups columns, inputs, taps).
void mho_moments(const float* u, const Patches* given, float half, const float* a, const float* b, const float* c, float* to_a,
                 float* to_b, float* to_c, int threads) {
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
    const Patches& at = *given;
    const int64_t numbers = at.images * at.height * at.line, depth = at.depth(), pairs = (depth + 1) / 2;
    const int64_t all = at.groups * at.columns, size = (at.columns + T - 1) / T * pairs * 2 * T, count = at.positions();
    const float* const weights[3] = {a, b, c};
    float* const sums[3] = {to_a, to_b, to_c};
    int16_t* codes = whole<0>(numbers);
    split(numbers, STEP, threads, [=](int64_t first, int64_t last) {
        for (int64_t i = first; i < last; i++) codes[i] = (int16_t)__builtin_rintf(u[i] * half);
    });
    int16_t* packed = whole<1>(3 * at.groups * size);
    float* factors = scratch<2>(3 * all);
    const double largest_code[3] = {half, half, (double)half * half};
    const Parts parts[3] = {
        {depth, half, LEVELS}, {depth, half, LEVELS}, {depth, largest_code[2], LEVELS_OF_SQUARES}};
    for (int n = 0; n < 3; n++)
        for (int64_t g = 0; weights[n] != nullptr && g < at.groups; g++)
            pack_whole(weights[n] + g * at.columns * depth, at, largest_code[n], parts[n].limit,
                       packed + (n * at.groups + g) * size, factors + n * all + g * at.columns);
    int64_t tile = TILE;
    while (tile > HIGH && tile % 2 == 0 && (tile * depth > GATHERED || tile * threads > count)) tile /= 2;
    tile = (tile + HIGH - 1) / HIGH * HIGH;
    const int64_t stride = 2 * pairs + 2 * T, area = tile * stride;
    split(count, tile, threads, [=, &at, &parts](int64_t first, int64_t last) {
        int16_t *gathered = whole<2>(2 * area), *changed = gathered + area;
        for (int64_t start = first; start < last; start += tile) {
            const int64_t here = last - start < tile ? last - start : tile;
            for (int64_t g = 0; g < at.groups; g++) {
                positions(at, nullptr, start, start + here, [=](int64_t i, const Position& position) {
                    gather_whole(codes, position, g, gathered + (i - start) * stride);
                });
                for (int n = 0; n < 3; n++) {
                    if (weights[n] == nullptr) continue;
                    const int16_t* tiles = n == 1 ? gathered : changed;
                    if (n == 0)
                        for (int64_t i = 0; i < area; i++)
                            changed[i] = gathered[i] < 0 ? (int16_t)-gathered[i] : gathered[i];
                    if (n == 2)
                        for (int64_t i = 0; i < area; i++) changed[i] = (int16_t)(gathered[i] * gathered[i]);
                    for (int64_t j = 0; j < at.columns; j += WIDE) {
                        const int64_t left = at.columns - j, wide = left < WIDE ? left : WIDE, column = g * at.columns + j;
                        const int16_t* panel = packed + (n * at.groups + g) * size + j * pairs * 2;
                        for (int64_t k = 0; k < pairs; k += parts[n].pairs)
                            for (int64_t i = 0; i < here; i += HIGH)
                                (wide > T ? multiply_whole<2> : multiply_whole<1>)(
                                    tiles + i * stride, stride, panel, pairs, k, std::min(k + parts[n].pairs, pairs),
                                    factors + n * all + column, sums[n] + (start + i) * all + column, all,
                                    here - i < HIGH ? here - i : HIGH, wide);
                    }
                }
            }
        }
    });
#endif
}

}  // extern "C"
