// Normal numbers with addresses: one generator for every key and chunk.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

namespace {

constexpr int LANES = 16;
constexpr int BLOCK = 2 * LANES;  // numbers that one step of the generator gives
constexpr int64_t CHUNK = 8192;  // numbers of one seed in streams of their own; a multiple of BLOCK

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

// -2 ln x for x in (0, 1], without branches: the exponent apart, a polynomial of least relative error (2e-7) for the rest.
inline float minus_two_logarithm(float x) {
    uint32_t bits;
    std::memcpy(&bits, &x, 4);
    const uint32_t from_root_half = bits - 0x3f3504f3u;  // sqrt(1/2) <= m < sqrt(2)
    const float e = (float)((int32_t)from_root_half >> 23);
    const uint32_t mantissa = (from_root_half & 0x007fffffu) + 0x3f3504f3u;
    float m;
    std::memcpy(&m, &mantissa, 4);
    m -= 1.0f;
    float y = 0.2021307498216629f;
    y = __builtin_fmaf(y, m, -0.3244485557079315f);
    y = __builtin_fmaf(y, m, 0.34501761198043823f);
    y = __builtin_fmaf(y, m, -0.3980037271976471f);
    y = __builtin_fmaf(y, m, 0.4993981420993805f);
    y = __builtin_fmaf(y, m, -0.6667011380195618f);
    y = __builtin_fmaf(y, m, 1.0000072717666626f);
    y = __builtin_fmaf(y, m, -1.9999998807907104f);
    return __builtin_fmaf(y, m, e * -1.3862943611198906f);
}

// Two normal numbers a lane from two words (Box & Muller 1958). Of the second word, 30 bits are an angle within a
// quarter turn around 0 and two choose the quarter.
inline void box_muller(const uint32_t* first, const uint32_t* second, float* one, float* two) {
    for (int l = 0; l < LANES; l++) {
        // 31 bits, (0, 1]: the tails reach 6.6 standard deviations.
        const float u = __builtin_fmaf((float)(int32_t)(first[l] >> 1), 4.656612873077393e-10f, 2.3283064365386963e-10f);
        const float radius = std::sqrt(minus_two_logarithm(u));
        const float t = (float)(int32_t)(second[l] << 2) * 2.3283064365386963e-10f, z = t * t;  // quarter turns
        float s = __builtin_fmaf(z, -0.00460165785625577f, 0.07968003302812576f);
        s = __builtin_fmaf(z, s, -0.6459634900093079f);
        s = __builtin_fmaf(z, s, 1.5707963705062866f) * t * radius;
        float c = __builtin_fmaf(z, -0.02039858140051365f, 0.25359493494033813f);
        c = __builtin_fmaf(z, c, -1.233696699142456f);
        c = __builtin_fmaf(z, c, 0.9999999403953552f) * radius;
        uint32_t bits;
        std::memcpy(&bits, &c, 4);
        bits ^= second[l] & 0x80000000u;
        std::memcpy(&c, &bits, 4);
        const bool swap = (second[l] & 0x40000000u) != 0;
        one[l] = swap ? s : c;
        two[l] = swap ? c : s;
    }
}

inline void normals(Lanes& lanes, float* out, int64_t n) {  // n is rounded up to a multiple of BLOCK
    uint32_t p[LANES], q[LANES];
    for (int64_t i = 0; i < n; i += 2 * LANES) {
        lanes.next(p);
        lanes.next(q);
        box_muller(p, q, out + i, out + i + LANES);
    }
}

void normals_of(uint64_t key, int64_t chunk, float* out, int64_t count) {  // the first numbers of a chunk
    alignas(64) float z[CHUNK];
    Lanes lanes(key, (uint64_t)chunk);
    normals(lanes, z, count);
    std::memcpy(out, z, sizeof(float) * count);
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

}  // extern "C"
