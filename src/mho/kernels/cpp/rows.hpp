// Sixteen numbers at a time, in a register where the processor has one so wide.

#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#if defined(__AVX512F__)
#include <immintrin.h>
#endif

namespace {

constexpr int T = 16;  // numbers of a Row, and the side of a tile that is transposed in registers

typedef float Row __attribute__((vector_size(4 * T)));
typedef uint32_t Words __attribute__((vector_size(4 * T)));
typedef int32_t Whole __attribute__((vector_size(4 * T)));

inline Row row_at(const float* from) {
    Row v;
    std::memcpy(&v, from, sizeof(v));
    return v;
}

inline Row magnitude(Row v) { return (Row)((Words)v & 0x7fffffffu); }

#if defined(__AVX512F__)
inline Row fused(Row a, Row b, Row c) { return (Row)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }  // a b + c
inline Row root(Row v) { return (Row)_mm512_sqrt_ps((__m512)v); }
inline Row nearest(Row v) { return (Row)_mm512_roundscale_ps((__m512)v, 8); }  // whole numbers, ties to even
inline uint16_t at_most(Row v, float most) {  // one bit a number, the first one lowest
    return (uint16_t)_mm512_cmp_ps_mask((__m512)v, _mm512_set1_ps(most), _CMP_LE_OQ);
}
#else
template <class Change>
inline Row each(Row v, Change change) {
    float x[T];
    std::memcpy(x, &v, sizeof(x));
    for (int l = 0; l < T; l++) x[l] = change(x[l], l);
    return row_at(x);
}
inline Row fused(Row a, Row b, Row c) {
    float y[T], z[T];
    std::memcpy(y, &b, sizeof(y));
    std::memcpy(z, &c, sizeof(z));
    return each(a, [&](float x, int l) { return __builtin_fmaf(x, y[l], z[l]); });
}
inline Row root(Row v) {
    return each(v, [](float x, int) { return std::sqrt(x); });
}
inline Row nearest(Row v) {
    return each(v, [](float x, int) { return __builtin_rintf(x); });
}
inline uint16_t at_most(Row v, float most) {
    uint16_t bits = 0;
    for (int l = 0; l < T; l++) bits |= (uint16_t)((v[l] <= most) << l);
    return bits;
}
#endif

}  // namespace
