#include "textflag.h"

// One round of four blocks.
#define ROUND4(k) \
	MOVOU k(AX), X4; \
	AESENC X4, X0; \
	AESENC X4, X1; \
	AESENC X4, X2; \
	AESENC X4, X3

#define ROUND1(k) \
	MOVOU k(AX), X4; \
	AESENC X4, X0

// func encryptNative(schedule *[176]byte, b *byte, n int)
TEXT ·encryptNative(SB), NOSPLIT, $0-24
	MOVQ schedule+0(FP), AX
	MOVQ b+8(FP), DI
	MOVQ n+16(FP), CX

four:
	CMPQ CX, $4
	JLT  one
	MOVOU 0(AX), X4
	MOVOU 0(DI), X0
	MOVOU 16(DI), X1
	MOVOU 32(DI), X2
	MOVOU 48(DI), X3
	PXOR X4, X0
	PXOR X4, X1
	PXOR X4, X2
	PXOR X4, X3
	ROUND4(16)
	ROUND4(32)
	ROUND4(48)
	ROUND4(64)
	ROUND4(80)
	ROUND4(96)
	ROUND4(112)
	ROUND4(128)
	ROUND4(144)
	MOVOU 160(AX), X4
	AESENCLAST X4, X0
	AESENCLAST X4, X1
	AESENCLAST X4, X2
	AESENCLAST X4, X3
	MOVOU X0, 0(DI)
	MOVOU X1, 16(DI)
	MOVOU X2, 32(DI)
	MOVOU X3, 48(DI)
	ADDQ $64, DI
	SUBQ $4, CX
	JMP  four

one:
	TESTQ CX, CX
	JEQ   done
	MOVOU 0(AX), X4
	MOVOU 0(DI), X0
	PXOR X4, X0
	ROUND1(16)
	ROUND1(32)
	ROUND1(48)
	ROUND1(64)
	ROUND1(80)
	ROUND1(96)
	ROUND1(112)
	ROUND1(128)
	ROUND1(144)
	MOVOU 160(AX), X4
	AESENCLAST X4, X0
	MOVOU X0, 0(DI)
	ADDQ $16, DI
	DECQ CX
	JMP  one

done:
	RET

// The bytes of a register in the opposite order.
DATA reverse<>+0(SB)/8, $0x08090a0b0c0d0e0f
DATA reverse<>+8(SB)/8, $0x0001020304050607
GLOBL reverse<>(SB), RODATA|NOPTR, $16

// x^128 + x^127 + x^126 + x^121 + 1, bits reflected.
DATA poly<>+0(SB)/8, $0x0000000000000001
DATA poly<>+8(SB)/8, $0xc200000000000000
GLOBL poly<>(SB), RODATA|NOPTR, $16

// Adds the product of a block and a power of the key to the sums X6 (low), X7
// (high) and X8 (middle). The block is in X5.
#define MULTIPLY(power) \
	MOVOU power(AX), X9; \
	MOVO X5, X10; \
	PCLMULQDQ $0x00, X9, X10; \
	PXOR X10, X6; \
	MOVO X5, X10; \
	PCLMULQDQ $0x11, X9, X10; \
	PXOR X10, X7; \
	MOVO X5, X10; \
	PCLMULQDQ $0x01, X9, X10; \
	PXOR X10, X8; \
	PCLMULQDQ $0x10, X9, X5; \
	PXOR X5, X8

// Brings the sums down to the 128 bits of X0, 64 at a time (S. Gueron, "AES-GCM
// software performance on the current high end CPUs", 2013).
#define REDUCE \
	MOVO   X8, X9; \
	PSLLDQ $8, X8; \
	PSRLDQ $8, X9; \
	PXOR   X8, X6; \
	PXOR   X9, X7; \
	MOVO   X3, X8; \
	PCLMULQDQ $0x01, X6, X8; \
	PSHUFD $78, X6, X6; \
	PXOR   X8, X6; \
	MOVO   X3, X8; \
	PCLMULQDQ $0x01, X6, X8; \
	PSHUFD $78, X6, X0; \
	PXOR   X8, X0; \
	PXOR   X7, X0

#define LOAD(at) \
	MOVOU  at(SI), X5; \
	PSHUFB X4, X5

#define CLEAR \
	PXOR X6, X6; \
	PXOR X7, X7; \
	PXOR X8, X8

// func hashNative(y *[2]uint64, h *powers, b *byte, n int)
TEXT ·hashNative(SB), NOSPLIT, $0-32
	MOVQ y+0(FP), DI
	MOVQ h+8(FP), AX
	MOVQ b+16(FP), SI
	MOVQ n+24(FP), CX
	MOVOU (DI), X0
	MOVOU poly<>(SB), X3
	MOVOU reverse<>(SB), X4

four:
	CMPQ CX, $4
	JLT  one
	CLEAR
	LOAD(0)
	PXOR X0, X5
	MULTIPLY(48)
	LOAD(16)
	MULTIPLY(32)
	LOAD(32)
	MULTIPLY(16)
	LOAD(48)
	MULTIPLY(0)
	REDUCE
	ADDQ $64, SI
	SUBQ $4, CX
	JMP  four

one:
	TESTQ CX, CX
	JEQ   done
	CLEAR
	LOAD(0)
	PXOR X0, X5
	MULTIPLY(0)
	REDUCE
	ADDQ $16, SI
	DECQ CX
	JMP  one

done:
	MOVOU X0, (DI)
	RET
