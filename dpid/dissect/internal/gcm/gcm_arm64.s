#include "textflag.h"

// One round of four blocks.
#define ROUND4(key) \
	AESE  key.B16, V0.B16; \
	AESMC V0.B16, V0.B16; \
	AESE  key.B16, V1.B16; \
	AESMC V1.B16, V1.B16; \
	AESE  key.B16, V2.B16; \
	AESMC V2.B16, V2.B16; \
	AESE  key.B16, V3.B16; \
	AESMC V3.B16, V3.B16

#define ROUND1(key) \
	AESE  key.B16, V0.B16; \
	AESMC V0.B16, V0.B16

// func encryptNative(schedule *[176]byte, b *byte, n int)
TEXT ·encryptNative(SB), NOSPLIT, $0-24
	MOVD schedule+0(FP), R0
	MOVD b+8(FP), R1
	MOVD n+16(FP), R2
	VLD1.P 64(R0), [V16.B16, V17.B16, V18.B16, V19.B16]
	VLD1.P 64(R0), [V20.B16, V21.B16, V22.B16, V23.B16]
	VLD1 (R0), [V24.B16, V25.B16, V26.B16]

four:
	CMP  $4, R2
	BLT  one
	VLD1 (R1), [V0.B16, V1.B16, V2.B16, V3.B16]
	ROUND4(V16)
	ROUND4(V17)
	ROUND4(V18)
	ROUND4(V19)
	ROUND4(V20)
	ROUND4(V21)
	ROUND4(V22)
	ROUND4(V23)
	ROUND4(V24)
	AESE V25.B16, V0.B16
	AESE V25.B16, V1.B16
	AESE V25.B16, V2.B16
	AESE V25.B16, V3.B16
	VEOR V26.B16, V0.B16, V0.B16
	VEOR V26.B16, V1.B16, V1.B16
	VEOR V26.B16, V2.B16, V2.B16
	VEOR V26.B16, V3.B16, V3.B16
	VST1.P [V0.B16, V1.B16, V2.B16, V3.B16], 64(R1)
	SUB  $4, R2
	B    four

one:
	CBZ  R2, done
	VLD1 (R1), [V0.B16]
	ROUND1(V16)
	ROUND1(V17)
	ROUND1(V18)
	ROUND1(V19)
	ROUND1(V20)
	ROUND1(V21)
	ROUND1(V22)
	ROUND1(V23)
	ROUND1(V24)
	AESE V25.B16, V0.B16
	VEOR V26.B16, V0.B16, V0.B16
	VST1.P [V0.B16], 16(R1)
	SUB  $1, R2
	B    one

done:
	RET

// Loads the next block into V5, its bytes in the opposite order.
#define LOAD \
	VLD1.P 16(R1), [V5.B16]; \
	VREV64 V5.B16, V5.B16; \
	VEXT $8, V5.B16, V5.B16, V5.B16

// Adds the product of V5 and a power of the key to the sums V6 (low), V7 (high)
// and V8 (middle); other is the power with its halves exchanged.
#define MULTIPLY(power, other) \
	VPMULL  power.D1, V5.D1, V10.Q1; \
	VPMULL2 power.D2, V5.D2, V11.Q1; \
	VPMULL  other.D1, V5.D1, V12.Q1; \
	VPMULL2 other.D2, V5.D2, V13.Q1; \
	VEOR V10.B16, V6.B16, V6.B16; \
	VEOR V11.B16, V7.B16, V7.B16; \
	VEOR V12.B16, V8.B16, V8.B16; \
	VEOR V13.B16, V8.B16, V8.B16

// Brings the sums down to the 128 bits of V0, as in gcm_amd64.s. V31 is zero.
#define REDUCE \
	VEXT $8, V8.B16, V31.B16, V9.B16; \
	VEXT $8, V31.B16, V8.B16, V10.B16; \
	VEOR V9.B16, V6.B16, V6.B16; \
	VEOR V10.B16, V7.B16, V7.B16; \
	VPMULL V4.D1, V6.D1, V8.Q1; \
	VEXT $8, V6.B16, V6.B16, V6.B16; \
	VEOR V8.B16, V6.B16, V6.B16; \
	VPMULL V4.D1, V6.D1, V8.Q1; \
	VEXT $8, V6.B16, V6.B16, V6.B16; \
	VEOR V8.B16, V6.B16, V6.B16; \
	VEOR V7.B16, V6.B16, V0.B16

#define CLEAR \
	VEOR V6.B16, V6.B16, V6.B16; \
	VEOR V7.B16, V7.B16, V7.B16; \
	VEOR V8.B16, V8.B16, V8.B16

// func hashNative(y *[2]uint64, h *powers, b *byte, n int)
TEXT ·hashNative(SB), NOSPLIT, $0-32
	MOVD y+0(FP), R0
	MOVD h+8(FP), R3
	MOVD b+16(FP), R1
	MOVD n+24(FP), R2
	VLD1 (R0), [V0.B16]
	VLD1 (R3), [V16.B16, V17.B16, V18.B16, V19.B16]
	VEXT $8, V16.B16, V16.B16, V20.B16
	VEXT $8, V17.B16, V17.B16, V21.B16
	VEXT $8, V18.B16, V18.B16, V22.B16
	VEXT $8, V19.B16, V19.B16, V23.B16
	MOVD $0xc200000000000000, R4
	VDUP R4, V4.D2
	VEOR V31.B16, V31.B16, V31.B16

four:
	CMP  $4, R2
	BLT  one
	CLEAR
	LOAD
	VEOR V0.B16, V5.B16, V5.B16
	MULTIPLY(V19, V23)
	LOAD
	MULTIPLY(V18, V22)
	LOAD
	MULTIPLY(V17, V21)
	LOAD
	MULTIPLY(V16, V20)
	REDUCE
	SUB  $4, R2
	B    four

one:
	CBZ  R2, done
	CLEAR
	LOAD
	VEOR V0.B16, V5.B16, V5.B16
	MULTIPLY(V16, V20)
	REDUCE
	SUB  $1, R2
	B    one

done:
	VST1 [V0.B16], (R0)
	RET
