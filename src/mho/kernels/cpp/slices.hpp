// Products of a row block in slices of its inputs and of its weights, each converted on its own.
//
// A few images at a time are converted once, with their padding, and cut into digits. Patches are copied from there, a tile of
// positions at a time; the columns of all readouts stand beside each other as one matrix. What the converters meet never
// leaves the cache: only their digital sum is written.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "patches.hpp"
#include "random.hpp"

namespace {

constexpr int64_t UNIT = 192;  // positions that are worked off together, at least

// The digit of `width` bits from bit `place` on of each code's magnitude, with the code's sign.
inline void digits_of(const float* codes, float* out, int64_t n, int place, int width) {
    const int32_t mask = (1 << width) - 1;
    for (int64_t i = 0; i < n; i++) {
        const int32_t code = (int32_t)codes[i], size = code < 0 ? -code : code, digit = (size >> place) & mask;
        out[i] = (float)(code < 0 ? -digit : digit);
    }
}

// One number a column of each readout: codes per unit (0: not converted), smallest and largest code, what a code counts, and
// the standard deviation of the noise in front of the converter.
struct Codes {
    const float *scale, *low, *high, *factor, *sigma;
};

// total[c] += weight Σ_k factor[k, c] clip(round(scale[k, c] y[k, c])).
inline void sum_codes(const float* y, const Codes& of, int64_t readouts, int64_t columns, float weight, float* total) {
    for (int64_t k = 0; k < readouts; k++) {
        const int64_t at = k * columns;
        const float *v = y + at, *scale = of.scale + at, *low = of.low + at, *high = of.high + at, *factor = of.factor + at;
        if (scale[0] == 0.0f) {
            for (int64_t c = 0; c < columns; c++) total[c] += v[c] * (factor[c] * weight);
            continue;
        }
        for (int64_t c = 0; c < columns; c++) {
            float code = __builtin_rintf(v[c] * scale[c]);
            code = code < low[c] ? low[c] : code;
            code = code > high[c] ? high[c] : code;
            total[c] += code * (factor[c] * weight);
        }
    }
}

// The codes of some channels of an image, in dense rows with the image's padding around them.
inline void padded_codes(const float* x, const Patches& at, float scale, float half, float* codes) {
    const int64_t n = at.inputs, wide = at.width + 2 * at.before_x, line = wide * n;
    std::memset(codes, 0, sizeof(float) * (at.height + 2 * at.before_y) * line);
    for (int64_t i = 0; i < at.height; i++) {
        float* to = codes + (i + at.before_y) * line + at.before_x * n;
        const float* from = x + i * at.line;
        if (at.pixel == n) {
            for (int64_t j = 0; j < at.width * n; j++) to[j] = convert(from[j], scale, half);
            continue;
        }
        for (int64_t j = 0; j < at.width; j++)
            for (int64_t c = 0; c < n; c++) to[j * n + c] = convert(from[j * at.pixel + c], scale, half);
    }
}

// n numbers, and up to T - 1 more.
inline void copy_run(const float* from, float* to, int64_t n) {
    for (int64_t i = 0; i < n; i += T) {
        Row v;
        std::memcpy(&v, from + i, sizeof(v));
        std::memcpy(to + i, &v, sizeof(v));
    }
}

}  // namespace

extern "C" {

// total[i] (+)= shift + r Σ_s weight[s] Σ_k factor[k] code_k(Σ_j w_kj v_sj + σ_k ξ) for all positions, in dense rows of all
// columns.
//
// at: with the columns of all readouts of a group, readout by readout, as its columns. weight: (groups readouts columns,
// inputs, taps). of: five numbers a column of each group and readout, see `Codes`. slices: place, width and weight of each; a
// width of 0 is the whole input. r is *reach, or where that is null `range`. shift may be null. key: of the noise; 0: none.
void mho_patch_slices(const float* x, const Patches* given, const float* weight, int64_t readouts, const float* of,
                      const float* slices, int64_t count, const float* reach, float range, float half, const float* shift,
                      int add, uint64_t key, float* total, int threads) {
    const Patches& at = *given;
    const int64_t depth = at.depth(), stride = depth + T, all = at.columns, columns = all / readouts, n = at.inputs;
    const int64_t wide = (all + WIDE - 1) / WIDE * WIDE, size = packed_size(at), pixels = at.out_height * at.out_width;
    const int64_t line = (at.width + 2 * at.before_x) * n, image = (at.height + 2 * at.before_y) * line;
    const int64_t several = pixels < UNIT ? (UNIT + pixels - 1) / pixels : 1, units = (at.images + several - 1) / several;
    const float r = reach == nullptr ? range : *reach, scale = 1.0f / r * half;
    float* packed = scratch<2>(at.groups * size);
    for (int64_t g = 0; g < at.groups; g++) pack_weights(weight + g * all * depth, at, packed + g * size);
    split(units, 1, threads, [=, &at](int64_t first, int64_t last) {
        const int64_t held = several * image + T;
        float* codes = scratch<3>(2 * held + TILE * (stride + wide) + several * pixels * columns + wide);
        float *digits = codes + held, *u = digits + held, *y = u + TILE * stride, *sum = y + TILE * wide;
        float* noise = sum + several * pixels * columns;
        for (int64_t unit = first; unit < last; unit++) {
            const int64_t start = unit * several, here = at.images - start < several ? at.images - start : several;
            for (int64_t g = 0; g < at.groups; g++) {
                for (int64_t i = 0; i < here; i++)
                    padded_codes(x + (start + i) * at.height * at.line + g * n, at, scale, half, codes + i * image);
                std::memset(sum, 0, sizeof(float) * here * pixels * columns);
                const float* mine = of + g * all * 5;
                const Codes codes_of = {mine, mine + all, mine + 2 * all, mine + 3 * all, mine + 4 * all};
                for (int64_t s = 0; s < count; s++) {
                    const int place = (int)slices[3 * s], width = (int)slices[3 * s + 1];
                    const float one = (float)(1.0 / (width > 0 ? (double)((1 << width) - 1) : (double)half));
                    const float* v = codes;
                    if (width > 0) digits_of(codes, digits, here * image, place, width), v = digits;
                    Lanes lanes(key, (uint64_t)((unit * at.groups + g) * count + s));
                    for (int64_t p = 0; p < here * pixels; p += TILE) {
                        const int64_t some = here * pixels - p < TILE ? here * pixels - p : TILE;
                        for (int64_t i = 0; i < some; i++) {
                            const int64_t q = (p + i) % pixels, row = q / at.out_width, column = q % at.out_width;
                            const float* from = v + (p + i) / pixels * image + row * at.stride_y * line + column * at.stride_x * n;
                            float* to = u + i * stride;
                            for (int64_t a = 0; a < at.taps_y; a++, from += at.dilation_y * line) {
                                if (at.dilation_x == 1) {
                                    copy_run(from, to, at.taps_x * n);
                                    to += at.taps_x * n;
                                    continue;
                                }
                                for (int64_t b = 0; b < at.taps_x; b++, to += n) copy_run(from + b * at.dilation_x * n, to, n);
                            }
                        }
                        const float* panel = packed + g * size;
                        for (int64_t c = 0; c < all; c += WIDE) {
                            const int64_t across = panel_of(all - c);
                            for (int64_t i = 0; i < some; i += HIGH)  // whole panels: there is room behind the last column
                                (across > T ? multiply<2, false> : multiply<1, false>)(
                                    u + i * stride, stride, 1, panel, across, depth, one, y + i * wide + c, wide, HIGH, across);
                            panel += depth * across;
                        }
                        for (int64_t i = 0; i < some; i++) {
                            float* seen = y + i * wide;
                            if (key != 0) {
                                for (int64_t c = 0; c < wide; c += BLOCK) normals(lanes, noise + c, BLOCK);
                                for (int64_t c = 0; c < all; c++) seen[c] += codes_of.sigma[c] * noise[c];
                            }
                            sum_codes(seen, codes_of, readouts, columns, slices[3 * s + 2], sum + (p + i) * columns);
                        }
                    }
                }
                for (int64_t i = 0; i < here * pixels; i++) {
                    float* to = total + (start * pixels + i) * at.groups * columns + g * columns;
                    const float* from = sum + i * columns;
                    for (int64_t c = 0; c < columns; c++) {
                        float v = from[c] * r;
                        if (add) v = to[c] + v;
                        if (shift != nullptr) v += shift[g * columns + c];
                        to[c] = v;
                    }
                }
            }
        }
    });
}

}  // extern "C"
