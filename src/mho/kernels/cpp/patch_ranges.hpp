// The ranges of patches: the largest magnitude in each, as a maximum over channels, then down and along a window.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#include "patches.hpp"

namespace {

inline float larger(float a, float b) { return a > b ? a : b; }

// The largest magnitude of each group of channels at each pixel, for the pixels of an image's line.
void largest_of_pixels(const float* x, const Patches& at, float* most) {
    const int64_t n = at.inputs, units = at.width * at.groups, gap = at.pixel - at.groups * n;
    int64_t group = 0;
    if (n == 1 && gap == 0) {
        for (int64_t i = 0; i < units; i++) most[i] = std::fabs(x[i]);
        return;
    }
    for (int64_t i = 0; i < units; i += T) {
        const int here = fewer(units - i);
        alignas(64) float t[T][T];
        for (int u = 0; u < here; u++) {
            Row most = Row{};
            int64_t j = 0;
            for (; j + T <= n; j += T) {
                Row v;
                std::memcpy(&v, x + j, sizeof(v));
                v = v > -v ? v : -v;
                most = v > most ? v : most;
            }
            std::memcpy(t[u], &most, sizeof(most));
            for (int l = 0; j < n; j++, l++) t[u][l] = larger(std::fabs(x[j]), t[u][l]);
            x += n;
            if (++group == at.groups) group = 0, x += gap;
        }
        transpose(t);
        for (int k = 1; k < T && k < n; k++)
            for (int l = 0; l < T; l++) t[0][l] = larger(t[k][l], t[0][l]);
        std::memcpy(most + i, t[0], sizeof(float) * here);
    }
}

// out[i] = the largest of `least` and of |x[k][i]| over k, for i < n.
inline void largest_of(const float* const* x, int64_t count, int64_t n, float least, float* out) {
    int64_t i = 0;
    for (; i + T <= n; i += T) {
        Row most = Row{} + least;
        for (int64_t k = 0; k < count; k++) {
            Row v;
            std::memcpy(&v, x[k] + i, sizeof(v));
            v = v > -v ? v : -v;
            most = v > most ? v : most;
        }
        std::memcpy(out + i, &most, sizeof(most));
    }
    for (; i < n; i++) {
        out[i] = least;
        for (int64_t k = 0; k < count; k++) out[i] = larger(std::fabs(x[k][i]), out[i]);
    }
}

// The largest numbers that the patches of an output line see: first down the lines of `most`, then along them. Lines and
// pixels of `most` are `line` and `pixel` apart; `column` has room for a line, `from` for as many pointers as taps.
void largest_of_patches(const float* most, int64_t line, int64_t pixel, const Position& position, float smallest, float* column,
                        const float** from, float* ranges) {
    const Patches& at = position.at;
    const int64_t groups = at.groups, width = at.out_width, s = at.stride_x;
    int64_t count = 0;
    for (int64_t k = 0; k < at.taps_y; k++)
        if (position.inside(k))
            from[count++] = most + (position.image * at.height + position.y0 + k * at.dilation_y) * line;
    if (pixel == groups)
        largest_of(from, count, at.width * groups, 0.0f, column);
    else
        for (int64_t i = 0; i < at.width; i++) {
            largest_of(from, count, groups, 0.0f, column + i * groups);
            for (int64_t k = 0; k < count; k++) from[k] += pixel;
        }
    if (groups > 1) {
        for (int64_t i = 0; i < width; i++) {
            count = 0;
            for (int64_t k = 0; k < at.taps_x; k++) {
                const int64_t place = i * s - at.before_x + k * at.dilation_x;
                if (place >= 0 && place < at.width) from[count++] = column + place * groups;
            }
            largest_of(from, count, groups, smallest, ranges + i * groups);
        }
        return;
    }
    for (int64_t i = 0; i < width; i++) ranges[i] = smallest;
    for (int64_t k = 0; k < at.taps_x; k++) {
        const int64_t shift = k * at.dilation_x - at.before_x;
        int64_t first = 0, last = width;  // positions whose tap k lies inside the image
        while (first < last && first * s + shift < 0) first++;
        while (last > first && (last - 1) * s + shift >= at.width) last--;
        for (int64_t i = first; i < last; i++) ranges[i] = larger(column[i * s + shift], ranges[i]);
    }
}

}  // namespace

extern "C" {

// The range of each patch, (positions, groups): its largest magnitude, or `smallest` where that is larger.
void mho_patch_ranges(const float* x, const Patches* given, float smallest, float* ranges, int threads) {
    const Patches& at = *given;
    const int64_t units = at.width * at.groups;
    const bool single = at.inputs == 1;
    float* most = single ? nullptr : scratch<2>(at.images * at.height * units);
    if (!single)
        split(at.images * at.height, 1, threads, [=, &at](int64_t first, int64_t last) {
            for (int64_t i = first; i < last; i++) largest_of_pixels(x + i * at.line, at, most + i * units);
        });
    split(at.images * at.out_height, 1, threads, [=, &at](int64_t first, int64_t last) {
        float* column = scratch<3>(units + 2 * at.taps() + 2) + 2 * at.taps() + 2;
        const float** from = (const float**)(column - 2 * at.taps() - 2);
        for (int64_t i = first; i < last; i++) {
            const Position position(at, i * at.out_width);
            float* to = ranges + i * at.out_width * at.groups;
            if (single)
                largest_of_patches(x, at.line, at.pixel, position, smallest, column, from, to);
            else
                largest_of_patches(most, units, at.groups, position, smallest, column, from, to);
        }
    });
}

}  // extern "C"
