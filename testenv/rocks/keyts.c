//go:build rocksdb

#include <string.h>
#include "keyts.h"

static uint64_t ts_of(const char* p) {
	const unsigned char* b = (const unsigned char*)p;
	uint64_t v = 0;
	for (int i = 7; i >= 0; i--) v = v << 8 | b[i];
	return v;
}

// KeyTSComparator (docs/formats.md §3.3): all but the last 8 bytes ascending, then the last 8, a u64le, descending.
static int compare(void* state, const char* a, size_t an, const char* b, size_t bn) {
	(void)state;
	size_t ap = an < 8 ? 0 : an - 8, bp = bn < 8 ? 0 : bn - 8, n = ap < bp ? ap : bp;
	int c = n ? memcmp(a, b, n) : 0;
	if (c) return c;
	if (ap != bp) return ap < bp ? -1 : 1;
	uint64_t at = an < 8 ? 0 : ts_of(a + ap), bt = bn < 8 ? 0 : ts_of(b + bp);
	return at > bt ? -1 : at < bt ? 1 : 0;
}

static const char* compare_name(void* state) { (void)state; return "KeyTSComparator"; }
static void nothing(void* state) { (void)state; }

rocksdb_comparator_t* rocks_key_ts_comparator(void) { return rocksdb_comparator_create(NULL, nothing, compare, compare_name); }

static char* prefix(void* state, const char* k, size_t n, size_t* out) { (void)state; *out = n < 8 ? 0 : n - 8; return (char*)k; }
static unsigned char in_domain(void* state, const char* k, size_t n) { (void)state; (void)k; return n > 8; }
static unsigned char in_range(void* state, const char* k, size_t n) { (void)state; (void)k; (void)n; return 1; }
static const char* prefix_name(void* state) { (void)state; return "KeyTsPrefixTransform"; }

rocksdb_slicetransform_t* rocks_key_ts_prefix(void) { return rocksdb_slicetransform_create(NULL, nothing, prefix, in_domain, in_range, prefix_name); }

uint64_t rocks_walk(rocksdb_iterator_t* it, uint64_t* bytes) {
	uint64_t rows = 0, sum = 0;
	for (; rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
		size_t kn, vn;
		const char* k = rocksdb_iter_key(it, &kn);
		const char* v = rocksdb_iter_value(it, &vn);
		sum += kn + vn + (kn ? (unsigned char)k[0] & 0 : 0) + (vn ? (unsigned char)v[0] & 0 : 0);
		rows++;
	}
	*bytes = sum;
	return rows;
}
