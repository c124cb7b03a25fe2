# Reads every CSV (standard dialect) or Parquet file given on stdin, one path per line, and prints one JSON array per row:
# [file number, line or row number, value, ...] with null or text values. It knows nothing of omsync: pyarrow reads the files.
import json
import sys

import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

ncols = int(sys.argv[1])
names = ["c%d" % i for i in range(ncols)]


def text(v):
    if v is None:
        return None
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, float):
        return repr(v)
    if isinstance(v, bytes):
        return v.decode("utf-8", "surrogateescape")
    if hasattr(v, "isoformat"):
        s = v.isoformat(timespec="milliseconds") if hasattr(v, "hour") else v.isoformat()
        return s
    return str(v)


def table(path):
    if path.endswith(".parquet"):
        return pq.read_table(path)
    return pc.read_csv(
        path,
        read_options=pc.ReadOptions(column_names=names, block_size=64 << 20),
        parse_options=pc.ParseOptions(newlines_in_values=True),
        convert_options=pc.ConvertOptions(
            column_types={n: pa.string() for n in names}, null_values=[""], strings_can_be_null=True, quoted_strings_can_be_null=False
        ),
    )


out = sys.stdout
for number, path in enumerate(line.rstrip("\n") for line in sys.stdin):
    for batch in table(path).to_batches():
        columns = [c.to_pylist() for c in batch.columns]
        for i, values in enumerate(zip(*columns)):
            out.write(json.dumps([number, i + 1] + [text(v) for v in values]))
            out.write("\n")
