#ifndef OMSYNC_ROCKS_KEYTS_H
#define OMSYNC_ROCKS_KEYTS_H

#include <stdint.h>
#include <stdlib.h>
#include "rocksdb/c.h"

rocksdb_comparator_t* rocks_key_ts_comparator(void);
rocksdb_slicetransform_t* rocks_key_ts_prefix(void);

// Walks an iterator from where it stands to its end; gives the number of rows and adds up the bytes of keys and values.
uint64_t rocks_walk(rocksdb_iterator_t* it, uint64_t* bytes);

#endif
