/* ring is the reference for the packet ring: a byte ring in shared memory between two
 * processes, one producer, one consumer, records of 8 bytes of length and a payload,
 * head and tail on lines of their own, the other side's index cached, one store of
 * tail or head for a batch of 32, full means spinning.
 *
 *   ring SIZE COUNT
 *
 * moves COUNT records of SIZE bytes from the parent to a child and prints the
 * nanoseconds for each, wall clock. Nobody sleeps: the two CPUs are theirs. */
#define _GNU_SOURCE
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { CAPACITY = 8 << 20, BATCH = 32 };

struct ring {
	_Alignas(128) _Atomic uint64_t tail;
	_Alignas(128) _Atomic uint64_t head;
	_Alignas(128) unsigned char data[CAPACITY];
};

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t record(uint64_t size) { return (8 + size + 7) & ~7ULL; }

static void produce(struct ring *r, uint64_t size, uint64_t count) {
	unsigned char payload[65536];
	memset(payload, 1, sizeof payload);
	uint64_t tail = 0, head = 0, need = record(size);
	for (uint64_t i = 0; i < count; i++) {
		uint64_t at = tail % CAPACITY, pad = CAPACITY - at < need ? CAPACITY - at : 0;
		while (tail + pad + need - head > CAPACITY) {
			atomic_store_explicit(&r->tail, tail, memory_order_release);
			head = atomic_load_explicit(&r->head, memory_order_acquire);
		}
		if (pad) {
			memset(r->data + at, 0, 8); /* length 0: go to the start */
			tail += pad;
			at = 0;
		}
		memcpy(r->data + at, &size, 8);
		memcpy(r->data + at + 8, payload, size);
		tail += need;
		if (i % BATCH == BATCH - 1) atomic_store_explicit(&r->tail, tail, memory_order_release);
	}
	atomic_store_explicit(&r->tail, tail, memory_order_release);
}

static uint64_t consume(struct ring *r, uint64_t count) {
	uint64_t head = 0, tail = 0, sum = 0;
	for (uint64_t i = 0; i < count;) {
		while (head == tail) tail = atomic_load_explicit(&r->tail, memory_order_acquire);
		for (int n = 0; n < BATCH && head != tail && i < count; n++) {
			uint64_t size;
			memcpy(&size, r->data + head % CAPACITY, 8);
			if (size == 0) {
				head += CAPACITY - head % CAPACITY;
				continue;
			}
			sum += r->data[head % CAPACITY + 8];
			head += record(size);
			i++;
		}
		atomic_store_explicit(&r->head, head, memory_order_release);
	}
	return sum;
}

int main(int argc, char **argv) {
	uint64_t size = argc == 3 ? strtoull(argv[1], NULL, 10) : 0, count = argc == 3 ? strtoull(argv[2], NULL, 10) : 0;
	if (size < 1 || size > 65536 || count < 1) {
		fprintf(stderr, "usage: ring SIZE COUNT\n");
		return 2;
	}
	struct ring *r = mmap(NULL, sizeof *r, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (r == MAP_FAILED) return 1;
	memset(r->data, 0, CAPACITY);
	pid_t child = fork();
	if (child < 0) return 1;
	if (child == 0) _exit(consume(r, count) == count ? 0 : 1);
	uint64_t began = now();
	produce(r, size, count);
	int status;
	if (waitpid(child, &status, 0) < 0 || status != 0) return 1;
	printf("%.3f\n", (double)(now() - began) / count);
	return 0;
}
