// The fused passes for CPUs. Plain C interface, no torch, no OpenMP, vectorised by the compiler.
//
// Compiled once, on the machine where it runs, with -O3 -march=native -fno-math-errno -fno-trapping-math
// -ffp-contract=off. Never with -ffast-math: in a shared library that switches the whole process to flush-to-zero.
// Without contraction the results are those of the reference kernels, bit for bit, wherever nothing is random.

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr int LANES = 16;
constexpr int64_t CHUNK = 8192;  // numbers that share one seed; a multiple of 2 * LANES

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

// out[i] = clip(round(x[i] * scale), -half, half) * unit for chunks [first, last) of n numbers.
void mho_quantise(const float* x, float* out, int64_t n, float scale, float half, float unit, int64_t first, int64_t last) {
    const int64_t end = last * CHUNK < n ? last * CHUNK : n;
    for (int64_t i = first * CHUNK; i < end; i++) out[i] = convert(x[i], scale, half) * unit;
}

// Noise, conversion, digital factor and sum in one pass over chunks [first, last) of n numbers:
//   v = y[i] + sqrt(max(spread[i], 0) + variance) * z[i],  total[i] (+)= code(v) * factor[column of i].
// Element i belongs to column (i / inner) % columns. half <= 0: code(v) = v. spread may be null; variance = 0 without
// spread: no noise. add: total += ..., otherwise total = ...; total may be y itself.
void mho_read_out(const float* y, const float* spread, float* total, int64_t n, int64_t columns, int64_t inner,
                  float variance, float scale, float half, const float* factor, int add, uint64_t key, int64_t first,
                  int64_t last) {
    alignas(64) float z[CHUNK];
    alignas(64) float code[CHUNK];
    const bool noisy = spread != nullptr || variance > 0.0f;
    const float sigma = std::sqrt(variance);
    for (int64_t chunk = first; chunk < last; chunk++) {
        const int64_t start = chunk * CHUNK, count = (n - start < CHUNK) ? n - start : CHUNK;
        const float* in = y + start;
        if (noisy) {
            Lanes lanes(key, (uint64_t)chunk);
            normals(lanes, z, count);
            if (spread != nullptr) {
                const float* s = spread + start;
                for (int64_t i = 0; i < count; i++) {
                    const float positive = s[i] > 0.0f ? s[i] : 0.0f;
                    code[i] = in[i] + std::sqrt(positive + variance) * z[i];
                }
            } else {
                for (int64_t i = 0; i < count; i++) code[i] = in[i] + sigma * z[i];
            }
        } else {
            std::memcpy(code, in, sizeof(float) * count);
        }
        if (half > 0.0f)
            for (int64_t i = 0; i < count; i++) code[i] = convert(code[i], scale, half);
        float* out = total + start;
        if (inner == 1) {  // columns stand side by side: linear layers, channels_last
            int64_t column = start % columns;
            for (int64_t i = 0; i < count;) {
                const int64_t run = columns - column < count - i ? columns - column : count - i;
                const float* f = factor + column;
                if (add)
                    for (int64_t j = 0; j < run; j++) out[i + j] += code[i + j] * f[j];
                else
                    for (int64_t j = 0; j < run; j++) out[i + j] = code[i + j] * f[j];
                i += run;
                column = 0;
            }
        } else {  // each column is a run of `inner` numbers
            int64_t left = inner - start % inner, column = (start / inner) % columns;
            for (int64_t i = 0; i < count;) {
                const int64_t run = left < count - i ? left : count - i;
                const float f = factor[column];
                if (add)
                    for (int64_t j = 0; j < run; j++) out[i + j] += code[i + j] * f;
                else
                    for (int64_t j = 0; j < run; j++) out[i + j] = code[i + j] * f;
                i += run;
                left = inner;
                column = column + 1 == columns ? 0 : column + 1;
            }
        }
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
}
