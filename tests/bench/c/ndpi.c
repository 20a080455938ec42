/* ndpi measures libndpi alone: one thread, the capture in memory, a lean flow
 * table, and no more of a flow than its counters once the library has its verdict.
 * When to stop is decided as ndpiReader decides it. No tunnels are entered.
 *
 *   ndpi CAPTURE
 *
 * CAPTURE is a classic pcap file, microseconds, Ethernet, host byte order. Prints
 * "packets flows unknown cpu_ns", CPU time being that of the walk alone. Written for
 * libndpi 4.2. */
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <ndpi_api.h>

struct key {
	uint8_t a[16], b[16];
	uint16_t port_a, port_b, vlan;
	uint8_t proto, version;
};

struct flow {
	struct key key;
	uint32_t hash, packets;
	uint64_t bytes;
	struct ndpi_flow_struct *ndpi; /* until the verdict */
	ndpi_protocol protocol;
	uint8_t done;
};

static struct flow **table;
static uint32_t capacity, flows;

static uint32_t hash(const struct key *k) {
	uint64_t w[5], h = 0x9E3779B97F4A7C15ULL;
	memcpy(w, k, sizeof w);
	for (int i = 0; i < 5; i++) {
		h ^= w[i];
		h *= 0xff51afd7ed558ccdULL;
		h ^= h >> 32;
	}
	return (uint32_t)h;
}

static void put(struct flow *f) {
	uint32_t i = f->hash & (capacity - 1);
	while (table[i]) i = (i + 1) & (capacity - 1);
	table[i] = f;
}

static void grow(void) {
	struct flow **old = table;
	uint32_t n = capacity;
	capacity = n ? n * 2 : 65536;
	table = calloc(capacity, sizeof *table);
	for (uint32_t i = 0; i < n; i++)
		if (old[i]) put(old[i]);
	free(old);
}

static struct flow *lookup(const struct key *k) {
	if (flows * 2 >= capacity) grow();
	uint32_t h = hash(k);
	for (uint32_t i = h & (capacity - 1); table[i]; i = (i + 1) & (capacity - 1))
		if (table[i]->hash == h && !memcmp(&table[i]->key, k, sizeof *k)) return table[i];
	struct flow *f = calloc(1, sizeof *f);
	f->key = *k;
	f->hash = h;
	f->ndpi = ndpi_flow_malloc(SIZEOF_FLOW_STRUCT);
	memset(f->ndpi, 0, SIZEOF_FLOW_STRUCT);
	put(f);
	flows++;
	return f;
}

/* parse fills k and returns the offset of the IP header, 0 when there is none; *len
 * is the length of the IP packet as captured. */
static uint32_t parse(const uint8_t *d, uint32_t cap, struct key *k, uint32_t *len) {
	memset(k, 0, sizeof *k);
	if (cap < 34) return 0;
	uint32_t p = 12;
	uint16_t type = d[12] << 8 | d[13];
	while (type == 0x8100 && p + 6 < cap) {
		k->vlan = (d[p + 2] << 8 | d[p + 3]) & 0xfff;
		p += 4;
		type = d[p] << 8 | d[p + 1];
	}
	p += 2;
	const uint8_t *l4;
	if (type == 0x800) {
		if (cap < p + 20 || d[p] >> 4 != 4) return 0;
		uint32_t ihl = (d[p] & 15) * 4;
		*len = d[p + 2] << 8 | d[p + 3];
		if (*len == 0 || p + *len > cap) *len = cap - p;
		if (((d[p + 6] << 8 | d[p + 7]) & 0x1fff) || ihl < 20 || ihl > *len) return 0;
		k->proto = d[p + 9];
		k->version = 4;
		l4 = d + p + ihl;
		memcpy(k->a, d + p + 12, 4);
		memcpy(k->b, d + p + 16, 4);
	} else if (type == 0x86dd) {
		if (cap < p + 40) return 0;
		uint16_t left = d[p + 4] << 8 | d[p + 5];
		*len = 40 + left;
		if (p + *len > cap) return 0;
		l4 = d + p + 40;
		k->proto = d[p + 6];
		k->version = 6;
		if (ndpi_handle_ipv6_extension_headers(*len, &l4, &left, &k->proto) != 0) return 0;
		memcpy(k->a, d + p + 8, 16);
		memcpy(k->b, d + p + 24, 16);
	} else {
		return 0;
	}
	if (d + cap < l4 + 4) return 0;
	if (k->proto == 6 || k->proto == 17) {
		k->port_a = l4[0] << 8 | l4[1];
		k->port_b = l4[2] << 8 | l4[3];
	}
	int c = memcmp(k->a, k->b, 16);
	if (c > 0 || (c == 0 && k->port_a > k->port_b)) {
		uint8_t t[16];
		memcpy(t, k->a, 16);
		memcpy(k->a, k->b, 16);
		memcpy(k->b, t, 16);
		uint16_t x = k->port_a;
		k->port_a = k->port_b;
		k->port_b = x;
	}
	return p;
}

static void inspect(struct ndpi_detection_module_struct *m, struct flow *f, const uint8_t *ip, uint32_t len, uint64_t ms) {
	f->protocol = ndpi_detection_process_packet(m, f->ndpi, ip, len, ms);
	int enough = (f->key.proto == 17 && f->packets > 24) || (f->key.proto == 6 && f->packets > 80) || f->ndpi->fail_with_unknown;
	if (!enough && f->protocol.app_protocol == NDPI_PROTOCOL_UNKNOWN) return;
	if (!enough && ndpi_extra_dissection_possible(m, f->ndpi)) return;
	f->done = 1;
	if (f->protocol.app_protocol == NDPI_PROTOCOL_UNKNOWN) {
		uint8_t guessed;
		f->protocol = ndpi_detection_giveup(m, f->ndpi, 1, &guessed);
	}
	ndpi_flow_free(f->ndpi);
	f->ndpi = NULL;
}

/* finish gives up on the flows that are still being looked at. */
static uint64_t finish(struct ndpi_detection_module_struct *m) {
	uint64_t unknown = 0;
	for (uint32_t i = 0; i < capacity; i++) {
		struct flow *f = table[i];
		if (!f) continue;
		if (f->ndpi) {
			uint8_t guessed;
			if (f->protocol.app_protocol == NDPI_PROTOCOL_UNKNOWN) f->protocol = ndpi_detection_giveup(m, f->ndpi, 1, &guessed);
			ndpi_flow_free(f->ndpi);
		}
		if (f->protocol.app_protocol == NDPI_PROTOCOL_UNKNOWN && f->protocol.master_protocol == NDPI_PROTOCOL_UNKNOWN) unknown++;
	}
	return unknown;
}

static uint8_t *load(const char *path, size_t *size) {
	int fd = open(path, O_RDONLY);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) != 0) return NULL;
	uint8_t *b = malloc(st.st_size);
	for (*size = 0; *size < (size_t)st.st_size;) {
		ssize_t n = read(fd, b + *size, st.st_size - *size);
		if (n <= 0) return NULL;
		*size += n;
	}
	close(fd);
	return b;
}

static uint64_t cpu(void) {
	struct timespec t;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

int main(int argc, char **argv) {
	size_t size = 0;
	uint8_t *b = argc == 2 ? load(argv[1], &size) : NULL;
	if (!b || size < 24) {
		fprintf(stderr, "usage: ndpi CAPTURE\n");
		return 2;
	}
	struct ndpi_detection_module_struct *m = ndpi_init_detection_module(ndpi_no_prefs);
	NDPI_PROTOCOL_BITMASK all;
	NDPI_BITMASK_SET_ALL(all);
	ndpi_set_protocol_detection_bitmask2(m, &all);
	ndpi_finalize_initialization(m);

	uint64_t packets = 0, began = cpu();
	for (size_t at = 24; at + 16 <= size;) {
		uint32_t h[4];
		memcpy(h, b + at, sizeof h);
		const uint8_t *d = b + at + 16;
		at += 16 + h[2];
		if (at > size) break;
		packets++;
		struct key k;
		uint32_t len, ip = parse(d, h[2], &k, &len);
		if (!ip) continue;
		struct flow *f = lookup(&k);
		f->packets++;
		f->bytes += h[2];
		if (!f->done) inspect(m, f, d + ip, len, (uint64_t)h[0] * 1000 + h[1] / 1000);
	}
	uint64_t unknown = finish(m);
	uint64_t took = cpu() - began;
	printf("%lu %u %lu %lu\n", packets, flows, unknown, took);
	return 0;
}
