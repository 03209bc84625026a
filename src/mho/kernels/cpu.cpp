// The fused passes for CPUs. Plain C interface, no torch, no OpenMP, vectorised by the compiler.
//
// Layouts. A tensor of n images, c channels (columns) and s pixels is *planar* when each channel of an image is a run of
// s numbers (torch's contiguous), and lies in *rows* when each pixel is a run of c numbers (channels_last, and the
// outputs of linear layers). Convolutions compute in rows, which is what the processor's library does fastest; the
// passes before and after transpose on the way, in registers, so that callers keep the layout they came with.
//
// Compiled once, on the machine where it runs, with -O3 -march=native -fno-math-errno -fno-trapping-math
// -ffp-contract=off. Never with -ffast-math: in a shared library that switches the whole process to flush-to-zero.
// Without contraction the results are those of the reference kernels, bit for bit, wherever nothing is random.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

namespace {

constexpr int LANES = 16;
constexpr int64_t CHUNK = 8192;  // numbers of one seed in streams of their own; a multiple of 2 * LANES
constexpr int T = 16;            // side of a tile that is transposed in registers

inline uint64_t mix(uint64_t z) {  // splitmix64, Steele et al. 2014
    z += 0x9e3779b97f4a7c15ull;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

inline uint32_t rotl(uint32_t x, int k) { return (x << k) | (x >> (32 - k)); }

struct Lanes {  // xoshiro128++ (Blackman & Vigna 2021), one generator a lane, seeded from (key, chunk, lane)
    uint32_t a[LANES], b[LANES], c[LANES], d[LANES];

    Lanes(uint64_t key, uint64_t chunk) {
        const uint64_t base = mix(key ^ mix(chunk));
        for (int l = 0; l < LANES; l++) {
            const uint64_t p = mix(base + 2 * l), q = mix(base + 2 * l + 1);
            a[l] = (uint32_t)p;
            b[l] = (uint32_t)(p >> 32);
            c[l] = (uint32_t)q;
            d[l] = (uint32_t)(q >> 32) | 1u;  // the all-zero state would stay zero
        }
    }

    inline void next(uint32_t* out) {
        for (int l = 0; l < LANES; l++) {
            out[l] = rotl(a[l] + d[l], 7) + a[l];
            const uint32_t t = b[l] << 9;
            c[l] ^= a[l];
            d[l] ^= b[l];
            b[l] ^= c[l];
            a[l] ^= d[l];
            c[l] ^= t;
            d[l] = rotl(d[l], 11);
        }
    }
};

inline float logarithm(float x) {  // Cephes logf without branches, x in (0, 1]
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    int32_t e = (int32_t)(bits >> 23) - 126;
    bits = (bits & 0x007fffffu) | 0x3f000000u;
    float m;
    std::memcpy(&m, &bits, 4);
    const bool small = m < 0.707106781186547524f;
    e -= small;
    m = (small ? m + m : m) - 1.0f;
    const float z = m * m, f = (float)e;
    float y = 7.0376836292e-2f;
    y = y * m - 1.1514610310e-1f;
    y = y * m + 1.1676998740e-1f;
    y = y * m - 1.2420140846e-1f;
    y = y * m + 1.4249322787e-1f;
    y = y * m - 1.6668057665e-1f;
    y = y * m + 2.0000714765e-1f;
    y = y * m - 2.4999993993e-1f;
    y = y * m + 3.3333331174e-1f;
    y = y * m * z;
    y = y + f * -2.12194440e-4f - 0.5f * z;
    return m + y + f * 0.693359375f;
}

// Two normal numbers a lane from two words (Box & Muller 1958).
inline void box_muller(const uint32_t* first, const uint32_t* second, float* one, float* two) {
    for (int l = 0; l < LANES; l++) {
        // 31 bits, (0, 1]: the tails reach 6.6 standard deviations.
        const float u = (float)(int32_t)(first[l] >> 1) * 4.656612873077393e-10f + 2.3283064365386963e-10f;
        const float radius = std::sqrt(-2.0f * logarithm(u < 1.0f ? u : 1.0f));
        const float turn = (float)(int32_t)(second[l] >> 8) * 2.384185791015625e-7f;  // [0, 4) quarter turns
        const float quarter = __builtin_rintf(turn);
        const float x = (turn - quarter) * 1.57079632679489662f, z = x * x;
        const float s = ((-1.9515295891e-4f * z + 8.3321608736e-3f) * z - 1.6666654611e-1f) * z * x + x;
        const float c = ((2.443315711809948e-5f * z - 1.388731625493765e-3f) * z + 4.166664568298827e-2f) * z * z -
                        0.5f * z + 1.0f;
        const int32_t q = (int32_t)quarter & 3;
        const float sine = (q & 1) ? c : s, cosine = (q & 1) ? s : c;
        one[l] = radius * ((q == 1 || q == 2) ? -cosine : cosine);
        two[l] = radius * ((q & 2) ? -sine : sine);
    }
}

inline void normals(Lanes& lanes, float* out, int64_t n) {  // n is rounded up to a multiple of 2 * LANES
    uint32_t p[LANES], q[LANES];
    for (int64_t i = 0; i < n; i += 2 * LANES) {
        lanes.next(p);
        lanes.next(q);
        box_muller(p, q, out + i, out + i + LANES);
    }
}

inline float convert(float y, float scale, float half) {
    const float v = __builtin_rintf(y * scale);
    const float w = v < -half ? -half : v;
    return w > half ? half : w;
}

typedef float Row __attribute__((vector_size(4 * T)));

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

// Bits of 16 flags that are 0 or 1, the first one lowest.
inline uint16_t pack(const uint8_t* flags) {
    uint64_t low, high;
    std::memcpy(&low, flags, 8);
    std::memcpy(&high, flags + 8, 8);
    const uint64_t gather = 0x0102040810204080ull;
    return (uint16_t)((low * gather) >> 56) | (uint16_t)(((high * gather) >> 56) << 8);
}

float* scratch(int64_t n, int which) {  // kept by the thread from call to call
    static thread_local std::vector<float> kept[2];
    if ((int64_t)kept[which].size() < n) kept[which].resize(n);
    return kept[which].data();
}

enum Layout { ROWS = 0, PLANAR = 1, ROWS_TO_PLANAR = 2 };

// Calls work(run, column, length) for the runs of numbers [start, start + count) of an image that share a column
// (planar) or hold neighbouring columns (rows).
template <class Work>
inline void runs(int64_t start, int64_t count, int64_t columns, int64_t pixels, bool planar, Work work) {
    const int64_t length = planar ? pixels : columns;
    int64_t at = start % length, column = planar ? (start / pixels) % columns : 0;
    for (int64_t i = 0; i < count;) {
        const int64_t run = length - at < count - i ? length - at : count - i;
        work(i, planar ? column : at, run);
        i += run;
        at = 0;
        column = column + 1 == columns ? 0 : column + 1;
    }
}

}  // namespace

extern "C" {

int64_t mho_chunk() { return CHUNK; }

// Raw words of chunks [first, last), for tests of the bit stream: CHUNK words a chunk.
void mho_words(uint32_t* out, uint64_t key, int64_t first, int64_t last) {
    for (int64_t chunk = first; chunk < last; chunk++) {
        Lanes lanes(key, (uint64_t)chunk);
        for (int64_t i = 0; i < CHUNK; i += LANES) lanes.next(out + (chunk - first) * CHUNK + i);
    }
}

// n standard normal numbers of chunks [first, last).
void mho_normals(float* out, int64_t n, uint64_t key, int64_t first, int64_t last) {
    alignas(64) float z[CHUNK];
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t start = chunk * CHUNK, count = (n - start < CHUNK) ? n - start : CHUNK;
        Lanes lanes(key, (uint64_t)chunk);
        normals(lanes, z, count);
        std::memcpy(out + start, z, sizeof(float) * count);
    }
}

// out[i] = clip(round(x[i] scale), -half, half) unit for numbers [first, last) of a dense tensor; squares[i] = out[i]²
// unless null.
void mho_quantise(const float* x, float* out, float* squares, float scale, float half, float unit, int64_t first,
                  int64_t last) {
    for (int64_t i = first; i < last; i++) out[i] = convert(x[i], scale, half) * unit;
    if (squares != nullptr)
        for (int64_t i = first; i < last; i++) squares[i] = out[i] * out[i];
}

// The same for images [first, last) of a planar tensor, whose images lie `image` numbers apart, into dense rows.
void mho_quantise_rows(const float* x, int64_t image, float* out, float* squares, int64_t channels, int64_t pixels,
                       float scale, float half, float unit, int64_t first, int64_t last) {
    alignas(64) float t[T][T];
    for (int64_t n = first; n < last; n++)
        for (int64_t p = 0; p < pixels; p += T)
            for (int64_t c = 0; c < channels; c += T) {
                const int high = fewer(channels - c), wide = fewer(pixels - p);
                load(x + n * image + c * pixels + p, pixels, high, wide, t);
                for (int i = 0; i < T; i++)
                    for (int j = 0; j < T; j++) t[i][j] = convert(t[i][j], scale, half) * unit;
                transpose(t);
                const int64_t to = (n * pixels + p) * channels + c;
                store(t, out + to, channels, wide, high);
                if (squares == nullptr) continue;
                for (int i = 0; i < T; i++)
                    for (int j = 0; j < T; j++) t[i][j] *= t[i][j];
                store(t, squares + to, channels, wide, high);
            }
}

// Noise, conversion, digital factor, shift and sum in one pass over chunks [first, last):
//   v = y - d c(a) p + sqrt(max(spread, 0) + variance) z,  c(a) = a (a (0.05 a - 0.2) + 0.5),
//   out (+)= code(v) factor[column], then + shift[column].
// y, spread, a and p lie in rows (layouts ROWS, ROWS_TO_PLANAR) or planar; out may be y itself where layouts agree.
// Every image has ceil(columns pixels / length) chunks of `length` numbers, each with a seed of its own. spread, a,
// shift, codes and mask may be null. half <= 0: code(v) = v.
// codes and mask (one bit a number: 1 where v is inside the range) are kept in the order of y, whole chunks.
// Returns how many numbers lay outside the range.
int64_t mho_read_out(const float* y, const float* spread, const float* a, const float* p, float* out, int64_t columns,
                     int64_t pixels, int64_t length, int layout, float variance, float drop, float scale, float half,
                     const float* factor, const float* shift, int add, int8_t* codes, uint16_t* mask, uint64_t key,
                     int64_t first, int64_t last) {
    const int64_t size = columns * pixels, chunks = (size + length - 1) / length;
    const int64_t piece = layout == ROWS_TO_PLANAR ? length : CHUNK;
    float *z = scratch(piece, 0), *code = scratch(piece + T, 1);
    const bool noisy = spread != nullptr || variance > 0.0f;
    const float sigma = std::sqrt(variance);
    int64_t outside = 0;
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t image = chunk / chunks, begin = (chunk % chunks) * length;
        const int64_t numbers = size - begin < length ? size - begin : length;
        Lanes lanes(key, (uint64_t)chunk);
        for (int64_t done = 0; done < numbers; done += piece) {
            const int64_t count = numbers - done < piece ? numbers - done : piece;
            const int64_t start = begin + done, at = image * size + start;
            const float* in = y + at;
            if (a != nullptr) {
                const float *mean = a + at, *placed = p + at;
                for (int64_t i = 0; i < count; i++) {
                    const float x = mean[i], c = x * (x * (0.05f * x - 0.2f) + 0.5f);
                    code[i] = in[i] - drop * c * placed[i];
                }
                in = code;
            }
            if (noisy) {
                normals(lanes, z, count);
                if (spread != nullptr) {
                    const float* s = spread + at;
                    for (int64_t i = 0; i < count; i++) {
                        const float positive = s[i] > 0.0f ? s[i] : 0.0f;
                        code[i] = in[i] + std::sqrt(positive + variance) * z[i];
                    }
                } else {
                    for (int64_t i = 0; i < count; i++) code[i] = in[i] + sigma * z[i];
                }
            } else if (in != code) {
                std::memcpy(code, in, sizeof(float) * count);
            }
            if (mask != nullptr) {
                uint16_t* bits = mask + (chunk * length + done) / T;
                for (int64_t i = count; i < count + T; i++) code[i] = 0.0f;
                for (int64_t i = 0; i < count; i += T) {
                    uint8_t flags[T];
                    int inside = 0;
                    for (int j = 0; j < T; j++) {
                        flags[j] = std::fabs(code[i + j] * scale) <= half;
                        inside += flags[j];
                    }
                    outside += T - inside;
                    bits[i / T] = pack(flags);
                }
            }
            if (half > 0.0f)
                for (int64_t i = 0; i < count; i++) code[i] = convert(code[i], scale, half);
            if (codes != nullptr) {
                int8_t* kept = codes + chunk * length + done;
                for (int64_t i = 0; i < count; i++) kept[i] = (int8_t)code[i];
            }
            if (layout == ROWS_TO_PLANAR) {
                alignas(64) float t[T][T];
                float* to = out + image * size;
                const int64_t p0 = start / columns, rows = count / columns;
                for (int64_t c = 0; c < columns; c += T)
                    for (int64_t r = 0; r < rows; r += T) {
                        const int high = fewer(rows - r), wide = fewer(columns - c);
                        load(code + r * columns + c, columns, high, wide, t);
                        transpose(t);
                        float* place = to + c * pixels + p0 + r;
                        for (int i = 0; i < wide; i++)
                            for (int j = 0; j < T; j++) t[i][j] *= factor[c + i];
                        if (add)
                            for (int i = 0; i < wide; i++)
                                for (int j = 0; j < high; j++) t[i][j] = place[i * pixels + j] + t[i][j];
                        if (shift != nullptr)
                            for (int i = 0; i < wide; i++)
                                for (int j = 0; j < T; j++) t[i][j] += shift[c + i];
                        store(t, place, pixels, wide, high);
                    }
                continue;
            }
            float* to = out + at;
            const bool planar = layout == PLANAR;
            runs(start, count, columns, pixels, planar, [&](int64_t i, int64_t column, int64_t run) {
                const float *f = factor + column, *h = shift == nullptr ? nullptr : shift + column;
                float* v = code + i;
                if (planar)
                    for (int64_t j = 0; j < run; j++) v[j] *= *f;
                else
                    for (int64_t j = 0; j < run; j++) v[j] *= f[j];
                if (add)
                    for (int64_t j = 0; j < run; j++) v[j] = to[i + j] + v[j];
                if (h == nullptr)
                    std::memcpy(to + i, v, sizeof(float) * run);
                else if (planar)
                    for (int64_t j = 0; j < run; j++) to[i + j] = v[j] + *h;
                else
                    for (int64_t j = 0; j < run; j++) to[i + j] = v[j] + h[j];
            });
        }
    }
    return outside;
}

// The way back through the read-out, for chunks [first, last): out = g factor[column], 0 where the mask says outside.
// Layouts and chunks as in mho_read_out; g lies where `out` lay there, out where y did. mask may be null.
void mho_read_out_back(const float* g, float* out, int64_t columns, int64_t pixels, int64_t length, int layout,
                       const float* factor, const uint16_t* mask, int64_t first, int64_t last) {
    const int64_t size = columns * pixels, chunks = (size + length - 1) / length;
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t image = chunk / chunks, start = (chunk % chunks) * length;
        const int64_t count = size - start < length ? size - start : length;
        float* to = out + image * size + start;
        const float* from = g + image * size;
        if (layout == ROWS_TO_PLANAR) {
            alignas(64) float t[T][T];
            const int64_t p0 = start / columns, rows = count / columns;
            for (int64_t r = 0; r < rows; r += T)
                for (int64_t c = 0; c < columns; c += T) {
                    const int high = fewer(columns - c), wide = fewer(rows - r);
                    load(from + c * pixels + p0 + r, pixels, high, wide, t);
                    for (int i = 0; i < high; i++)
                        for (int j = 0; j < T; j++) t[i][j] *= factor[c + i];
                    transpose(t);
                    store(t, to + r * columns + c, columns, wide, high);
                }
        } else {
            const bool planar = layout == PLANAR;
            runs(start, count, columns, pixels, planar, [&](int64_t i, int64_t column, int64_t run) {
                const float *f = factor + column, *v = from + start + i;
                if (planar)
                    for (int64_t j = 0; j < run; j++) to[i + j] = v[j] * *f;
                else
                    for (int64_t j = 0; j < run; j++) to[i + j] = v[j] * f[j];
            });
        }
        if (mask == nullptr) continue;
        const uint16_t* bits = mask + chunk * length / T;
        for (int64_t i = 0; i < count; i += T) {
            if (bits[i / T] == 0xffff) continue;
            for (int64_t j = i; j < count && j < i + T; j++)
                if (!((bits[i / T] >> (j - i)) & 1)) to[j] = 0.0f;
        }
    }
}

// What a read-out put out, from the codes it kept: out = codes factor[column] + shift[column], for chunks [first, last).
void mho_decode(const int8_t* codes, float* out, int64_t columns, int64_t pixels, int64_t length, int layout,
                const float* factor, const float* shift, int64_t first, int64_t last) {
    const int64_t size = columns * pixels, chunks = (size + length - 1) / length;
    float* code = scratch(length, 0);
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t image = chunk / chunks, start = (chunk % chunks) * length;
        const int64_t count = size - start < length ? size - start : length;
        const int8_t* from = codes + chunk * length;
        for (int64_t i = 0; i < count; i++) code[i] = (float)from[i];
        if (layout == ROWS_TO_PLANAR) {
            alignas(64) float t[T][T];
            const int64_t p0 = start / columns, rows = count / columns;
            for (int64_t c = 0; c < columns; c += T)
                for (int64_t r = 0; r < rows; r += T) {
                    const int high = fewer(rows - r), wide = fewer(columns - c);
                    load(code + r * columns + c, columns, high, wide, t);
                    transpose(t);
                    for (int i = 0; i < wide; i++)
                        for (int j = 0; j < T; j++) t[i][j] = t[i][j] * factor[c + i] + shift[c + i];
                    store(t, out + image * size + c * pixels + p0 + r, pixels, wide, high);
                }
            continue;
        }
        float* to = out + image * size + start;
        const bool planar = layout == PLANAR;
        runs(start, count, columns, pixels, planar, [&](int64_t i, int64_t column, int64_t run) {
            const float *f = factor + column, *h = shift + column;
            for (int64_t j = 0; j < run; j++) to[i + j] = code[i + j] * f[planar ? 0 : j] + h[planar ? 0 : j];
        });
    }
}

// The way back through the DAC: out[i] = g[i] unit where |x[i] scale| <= half, else 0, for numbers [first, last).
void mho_quantise_back(const float* g, const float* x, float* out, float scale, float half, float unit, int64_t first,
                       int64_t last) {
    for (int64_t i = first; i < last; i++) out[i] = std::fabs(x[i] * scale) <= half ? g[i] * unit : 0.0f;
}

// The same for images [first, last), g in dense rows, x and out planar with images `image` numbers apart.
void mho_quantise_rows_back(const float* g, const float* x, float* out, int64_t image, int64_t channels,
                            int64_t pixels, float scale, float half, float unit, int64_t first, int64_t last) {
    alignas(64) float t[T][T];
    alignas(64) float v[T][T];
    for (int64_t n = first; n < last; n++)
        for (int64_t c = 0; c < channels; c += T)
            for (int64_t p = 0; p < pixels; p += T) {
                const int high = fewer(pixels - p), wide = fewer(channels - c);
                const int64_t at = n * image + c * pixels + p;
                load(g + (n * pixels + p) * channels + c, channels, high, wide, t);
                load(x + at, pixels, wide, high, v);
                transpose(t);
                for (int i = 0; i < T; i++)
                    for (int j = 0; j < T; j++) t[i][j] = std::fabs(v[i][j] * scale) <= half ? t[i][j] * unit : 0.0f;
                store(t, out + at, pixels, wide, high);
            }
}
}
