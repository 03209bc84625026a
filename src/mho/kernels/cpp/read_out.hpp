// Noise, conversion and digital sum at the columns, and their way back.

#pragma once

#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "layouts.hpp"
#include "quantise.hpp"
#include "random.hpp"
#include "threads.hpp"

namespace {

constexpr int PIECES = 4;  // a chunk is worked off in pieces that stay in the nearest cache

// gain[j] reach unit of each column: the digital factor of its codes. reach may be null.
inline const float* factors_of(const float* gain, const float* reach, float unit, int64_t columns) {
    float* found = scratch<0>(columns);
    const float r = reach == nullptr ? 1.0f : *reach;
    for (int64_t j = 0; j < columns; j++) found[j] = gain[j] * r * unit;
    return found;
}

// A block of numbers; what is missing is zero.
inline void fill(Row block[2], const float* from, int64_t n) {
    if (n == BLOCK) {
        std::memcpy(block, from, sizeof(float) * BLOCK);
        return;
    }
    float all[BLOCK];
    for (int64_t j = 0; j < BLOCK; j++) all[j] = j < n ? from[j] : 0.0f;
    std::memcpy(block, all, sizeof(all));
}

// A run of `count` numbers of an image, from its number `start` on; `number` counts chunks through all images.
struct Chunk {
    int64_t number, image, start, count;
};

// Calls work(first, last, walk) on the threads; walk(visit) calls visit(chunk) for the thread's share of the chunks: every
// image has ceil(columns pixels / length) of `length` numbers.
template <class Work>
inline void by_chunks(int64_t images, int64_t size, int64_t length, int threads, const Work& work) {
    const int64_t chunks = (size + length - 1) / length;
    split(images * chunks, 1, threads, [=, &work](int64_t first, int64_t last) {
        work([=](auto visit) {
            for (int64_t n = first; n < last; n++) {
                const int64_t start = n % chunks * length;
                visit(Chunk{n, n / chunks, start, size - start < length ? size - start : length});
            }
        });
    });
}

// `rows` dense rows of columns into planes that are `pixels` long. change(tile, column, row, wide, high, place) has a tile
// of columns × rows between the two.
template <class Change>
inline void to_planes(const float* from, int64_t columns, int64_t rows, float* to, int64_t pixels, Change change) {
    alignas(64) float t[T][T];
    for (int64_t c = 0; c < columns; c += T)
        for (int64_t r = 0; r < rows; r += T) {
            const int high = fewer(rows - r), wide = fewer(columns - c);
            load(from + r * columns + c, columns, high, wide, t);
            transpose(t);
            float* place = to + c * pixels + r;
            change(t, c, r, wide, high, place);
            store(t, place, pixels, wide, high);
        }
}

// The same backwards; change(tile, column) has columns × rows.
template <class Change>
inline void from_planes(const float* from, int64_t pixels, float* to, int64_t columns, int64_t rows, Change change) {
    alignas(64) float t[T][T];
    for (int64_t c = 0; c < columns; c += T)
        for (int64_t r = 0; r < rows; r += T) {
            const int high = fewer(columns - c), wide = fewer(rows - r);
            load(from + c * pixels + r, pixels, high, wide, t);
            change(t, c);
            transpose(t);
            store(t, to + r * columns + c, columns, wide, high);
        }
}

// What a vector's own range adds: a factor of every pixel's group of columns, and where a column came to `top`.
struct Vectors {
    const float* each;
    uint8_t* clips;
    float top;
    int64_t groups, columns, pixels;

    int64_t place(int64_t image, int64_t number) const {  // of a number of an image that lies in rows
        return (image * pixels + number / columns) * groups + number % columns / (columns / groups);
    }

    // The factors of `count` numbers from the beginning of a row on.
    void spread(int64_t image, int64_t start, int64_t count, float* out) const {
        const float* from = each + (image * pixels + start / columns) * groups;
        const int64_t run = columns / groups;
        for (int64_t i = 0; i < count; i += run, from++)
            for (int64_t j = 0; j < run; j++) out[i + j] = *from;
    }

    void scale_tile(float t[T][T], int64_t image, int64_t column, int64_t pixel, int wide, int high) const {
        const float* from = each + (image * pixels + pixel) * groups;
        for (int i = 0; i < wide; i++)
            for (int j = 0; j < high; j++) t[i][j] *= from[j * groups + (column + i) / (columns / groups)];
    }

    int note(const float* v, int64_t image, int64_t number, int64_t count) const {
        int found = 0;
        for (int j = 0; j < BLOCK; j++) found += std::fabs(v[j]) >= top && j < count;
        for (int64_t j = 0; found && j < count; j++)
            if (std::fabs(v[j]) >= top) clips[place(image, number + j)] = 1;
        return found;
    }
};

// The whole blocks of a piece in rows of which nothing is kept and nothing else is told: what most layers are, with all that
// it takes in registers. Returns how many numbers they have.
template <bool NOISY, bool EACH, bool ADD>
inline int64_t plain(const float* y, float* out, int64_t count, float sigma, float scale, float half, const float* factors,
                     const float* each, const float* shifts, Lanes& kept) {
    Lanes lanes = kept;
    int64_t i = 0;
    for (; i + BLOCK <= count; i += BLOCK) {
        Row z[2];
        if (NOISY) normals(lanes, z);
#pragma GCC unroll 2
        for (int h = 0; h < 2; h++) {
            const int64_t at = i + h * T;
            Row v = row_at(y + at);
            if (NOISY) v += sigma * z[h];
            v = convert(v, scale, half) * row_at(factors + at);
            if (EACH) v *= row_at(each + at);
            if (ADD) v = row_at(out + at) + v;
            v += row_at(shifts + at);
            std::memcpy(out + at, &v, sizeof(v));
        }
    }
    kept = lanes;
    return i;
}

}  // namespace

extern "C" {

// Noise, conversion, digital factor, shift and sum in one pass:
//   v = y - d c(a) p + sqrt(max(spread, 0) + variance) z,  c(a) = a (a (0.05 a - 0.2) + 0.5),
//   out (+)= code(v) gain[column] r b/h, then + shift[column].
// y, spread, a and p lie in rows (layouts ROWS, ROWS_TO_PLANAR) or planar; out may be y itself where layouts agree.
// Every image has ceil(columns pixels / length) chunks of `length` numbers, each with a seed of its own; in rows, a
// quarter of `length` is a multiple of 32 columns. spread, a, shift, codes and mask may be null. half <= 0: code(v) = v.
// r is *reach (null: 1), b the range *bound, or where that is null h/b is `scale` and b/h is `unit`.
// For y in rows, and groups that divide the columns, both or one null:
//   each: another factor, of every pixel's group of columns, behind the first;
//   clips: gets 1 where a |code(v)| of such a group is at least `top`.
// codes and mask (one bit a number: 1 where v is inside the range) are kept in the order of y, whole chunks.
// Returns how many numbers lay outside the range, as far as mask, or clips, was asked for.
int64_t mho_read_out(const float* y, const float* spread, const float* a, const float* p, float* out, int64_t images,
                     int64_t columns, int64_t pixels, int64_t length, int layout, float variance, float drop,
                     float half, const float* gain, const float* reach, const float* bound, float scale, float unit,
                     const float* each, uint8_t* clips, float top, int64_t groups, const float* shift, int add,
                     int8_t* codes, uint16_t* mask, uint64_t key, int threads) {
    const int64_t size = columns * pixels;
    const int64_t piece = layout == ROWS_TO_PLANAR ? length : length / PIECES;  // planar results are written in strips
    if (bound != nullptr && half > 0.0f) {
        scale = 1.0f / *bound * half;
        unit = *bound / half;
    }
    const float* factor = factors_of(gain, reach, unit, columns);
    const bool noisy = spread != nullptr || variance > 0.0f;
    const float sigma = std::sqrt(variance);
    const Vectors vectors{each, clips, top, groups, columns, pixels};
    const bool is_plain = layout == ROWS && half > 0.0f && spread == nullptr && a == nullptr &&
                          clips == nullptr && codes == nullptr && mask == nullptr;
    const auto plainly = each == nullptr ? noisy ? add ? plain<true, false, true> : plain<true, false, false>
                                                 : add ? plain<false, false, true> : plain<false, false, false>
                                         : noisy ? add ? plain<true, true, true> : plain<true, true, false>
                                                 : add ? plain<false, true, true> : plain<false, true, false>;
    std::atomic<int64_t> all_outside{0};
    by_chunks(images, size, length, threads, [=, &all_outside](auto walk) {
        float *code = scratch<1>(3 * piece), *factors = code, *shifts = code + piece, *more = shifts + piece;
        if (layout == ROWS)  // the columns' numbers, over and over: a piece begins with column 0
            for (int64_t i = 0; i < piece && i < size; i += columns)
                for (int64_t j = 0; j < columns; j++) {
                    factors[i + j] = factor[j];
                    shifts[i + j] = shift == nullptr ? 0.0f : shift[j];
                }
        int64_t outside = 0;
        walk([&](const Chunk& chunk) {
            Lanes lanes(key, (uint64_t)chunk.number);
            for (int64_t done = 0; done < chunk.count; done += piece) {
                const int64_t count = chunk.count - done < piece ? chunk.count - done : piece;
                const int64_t start = chunk.start + done, at = chunk.image * size + start;
                const float* others = groups == columns ? each + at : more;
                if (each != nullptr && layout == ROWS && others == more) vectors.spread(chunk.image, start, count, more);
                int64_t i = 0;
                if (is_plain) i = plainly(y + at, out + at, count, sigma, scale, half, factors, others, shifts, lanes);
                for (; i < count; i += BLOCK) {
                    const int64_t here = count - i < BLOCK ? count - i : BLOCK, from = at + i;
                    Row v[2], w[2], z[2];
                    fill(v, y + from, here);
                    if (a != nullptr) {
                        fill(w, a + from, here);
                        fill(z, p + from, here);
                        for (int h = 0; h < 2; h++)
                            v[h] -= drop * (w[h] * (w[h] * (0.05f * w[h] - 0.2f) + 0.5f)) * z[h];
                    }
                    if (noisy) {
                        normals(lanes, z);
                        if (spread != nullptr) {
                            fill(w, spread + from, here);
                            for (int h = 0; h < 2; h++) v[h] += root((w[h] > 0.0f ? w[h] : Row{}) + variance) * z[h];
                        } else {
                            for (int h = 0; h < 2; h++) v[h] += sigma * z[h];
                        }
                    }
                    if (mask != nullptr) {
                        const uint32_t low = at_most(magnitude(v[0] * scale), half);
                        const uint32_t high = at_most(magnitude(v[1] * scale), half);
                        const uint32_t inside = low | high << T | (here < BLOCK ? ~0u << here : 0u);
                        outside += __builtin_popcount(~inside);
                        std::memcpy(mask + (chunk.number * length + done + i) / T, &inside, sizeof(inside));
                    }
                    if (half > 0.0f)
                        for (int h = 0; h < 2; h++) v[h] = convert(v[h], scale, half);
                    alignas(64) float all[BLOCK];
                    if (clips != nullptr || codes != nullptr) std::memcpy(all, v, sizeof(all));
                    if (clips != nullptr) outside += vectors.note(all, chunk.image, start + i, here);
                    if (codes != nullptr) {
                        int8_t* kept = codes + chunk.number * length + done + i;
                        for (int j = 0; j < BLOCK; j++) kept[j] = (int8_t)all[j];
                    }
                    if (layout != ROWS) {
                        std::memcpy(code + i, v, sizeof(v));
                        continue;
                    }
                    float* to = out + from;
                    for (int h = 0; h < 2; h++) v[h] *= row_at(factors + i + h * T);
                    if (each != nullptr) {
                        fill(z, others + i, here);
                        for (int h = 0; h < 2; h++) v[h] *= z[h];
                    }
                    if (add) {
                        fill(w, to, here);
                        for (int h = 0; h < 2; h++) v[h] = w[h] + v[h];
                    }
                    if (shift != nullptr)
                        for (int h = 0; h < 2; h++) v[h] += row_at(shifts + i + h * T);
                    if (here == BLOCK)
                        std::memcpy(to, v, sizeof(v));
                    else
                        std::memcpy(to, v, sizeof(float) * here);
                }
                if (layout == ROWS_TO_PLANAR) {
                    const int64_t first = start / columns;
                    auto finish = [&](float t[T][T], int64_t c, int64_t r, int wide, int high, const float* place) {
                        for (int i = 0; i < wide; i++)
                            for (int j = 0; j < T; j++) t[i][j] *= factor[c + i];
                        if (each != nullptr) vectors.scale_tile(t, chunk.image, c, first + r, wide, high);
                        if (add)
                            for (int i = 0; i < wide; i++)
                                for (int j = 0; j < high; j++) t[i][j] = place[i * pixels + j] + t[i][j];
                        if (shift != nullptr)
                            for (int i = 0; i < wide; i++)
                                for (int j = 0; j < T; j++) t[i][j] += shift[c + i];
                    };
                    to_planes(code, columns, count / columns, out + chunk.image * size + first, pixels, finish);
                }
                if (layout == PLANAR) {
                    float* to = out + at;
                    planes(start, count, columns, pixels, [&](int64_t i, int64_t run, int64_t column) {
                        const float f = factor[column], h = shift == nullptr ? 0.0f : shift[column];
                        float* v = code + i;
                        for (int64_t j = 0; j < run; j++) v[j] *= f;
                        if (add)
                            for (int64_t j = 0; j < run; j++) v[j] = to[i + j] + v[j];
                        if (shift != nullptr)
                            for (int64_t j = 0; j < run; j++) v[j] += h;
                        std::memcpy(to + i, v, sizeof(float) * run);
                    });
                }
            }
        });
        all_outside += outside;
    });
    return all_outside;
}

// The way back through the read-out: out = g factor[column], 0 where the mask says outside.
// Layouts and chunks as in mho_read_out; g lies where `out` lay there, out where y did. mask may be null.
void mho_read_out_back(const float* g, float* out, int64_t images, int64_t columns, int64_t pixels, int64_t length,
                       int layout, const float* factor, const uint16_t* mask, int threads) {
    const int64_t size = columns * pixels;
    by_chunks(images, size, length, threads, [=](auto walk) {
        walk([=](const Chunk& chunk) {
            float* to = out + chunk.image * size + chunk.start;
            const float *image = g + chunk.image * size, *from = image + chunk.start;
            if (layout == ROWS_TO_PLANAR) {
                const int64_t rows = chunk.count / columns;
                from_planes(image + chunk.start / columns, pixels, to, columns, rows, [=](float t[T][T], int64_t c) {
                    for (int i = 0; i < fewer(columns - c); i++)
                        for (int j = 0; j < T; j++) t[i][j] *= factor[c + i];
                });
            } else if (layout == PLANAR) {
                planes(chunk.start, chunk.count, columns, pixels, [=](int64_t i, int64_t run, int64_t column) {
                    for (int64_t j = 0; j < run; j++) to[i + j] = from[i + j] * factor[column];
                });
            } else {
                for (int64_t i = 0; i < chunk.count; i += columns)
                    for (int64_t j = 0; j < columns; j++) to[i + j] = from[i + j] * factor[j];
            }
            if (mask == nullptr) return;
            const uint16_t* bits = mask + chunk.number * length / T;
            for (int64_t i = 0; i < chunk.count; i += T) {
                if (bits[i / T] == 0xffff) continue;
                for (int64_t j = i; j < chunk.count && j < i + T; j++)
                    if (!((bits[i / T] >> (j - i)) & 1)) to[j] = 0.0f;
            }
        });
    });
}

// What a read-out put out, from the codes it kept: out = codes factor[column] + shift[column].
void mho_decode(const int8_t* codes, float* out, int64_t images, int64_t columns, int64_t pixels, int64_t length,
                int layout, const float* factor, const float* shift, int threads) {
    const int64_t size = columns * pixels;
    by_chunks(images, size, length, threads, [=](auto walk) {
        float* code = scratch<1>(length);
        walk([=](const Chunk& chunk) {
            const int8_t* from = codes + chunk.number * length;
            float *image = out + chunk.image * size, *to = image + chunk.start;
            for (int64_t i = 0; i < chunk.count; i++) code[i] = (float)from[i];
            if (layout == ROWS_TO_PLANAR) {
                auto finish = [=](float t[T][T], int64_t c, int64_t, int wide, int, const float*) {
                    for (int i = 0; i < wide; i++)
                        for (int j = 0; j < T; j++) t[i][j] = t[i][j] * factor[c + i] + shift[c + i];
                };
                to_planes(code, columns, chunk.count / columns, image + chunk.start / columns, pixels, finish);
            } else if (layout == PLANAR) {
                planes(chunk.start, chunk.count, columns, pixels, [=](int64_t i, int64_t run, int64_t column) {
                    for (int64_t j = 0; j < run; j++) to[i + j] = code[i + j] * factor[column] + shift[column];
                });
            } else {
                for (int64_t i = 0; i < chunk.count; i += columns)
                    for (int64_t j = 0; j < columns; j++) to[i + j] = code[i + j] * factor[j] + shift[j];
            }
        });
    });
}

}  // extern "C"
