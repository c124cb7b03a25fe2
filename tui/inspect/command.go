package inspect

import (
	"context"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v3"
)

// Env is the outside world of the command.
type Env struct {
	Out, Err io.Writer
	Now      func() time.Time
}

const notation = `
Values: null · true, false · integers as decimal strings · {"ts":"ms"} timestamps · {"float":text,"bits":hex} and {"double":…}
· {"date":"Y-M-D","raw":n} · strings as they are, {"hex":…} where they are not UTF-8, {"len":n,"sha256":…} over 300 bytes.
The table's description is the partition's own table_meta.txt unless --table-info names another file.

Exit codes: 0 all is whole · 1 something is damaged or missing: what is whole was printed, standard error says where ·
2 wrong usage · 130 interrupted`

const snapshotHelp = `
Prints the rows of the current checkpoint that an export would take, in its order: those of index 0, without what is overwritten,
deleted or hidden by the TTL at --now. --all prints hidden rows (with the reason) and the other indexes, too.

Examples:
  omsync-tui inspect snapshot /data/ssd/12_0
  omsync-tui inspect snapshot /data/ssd/12_0 | jq -c 'select(.key == "u17") | [.ts, .row]'
  omsync-tui inspect snapshot --all /data/ssd/12_0 | jq -r '.hidden // "shown"' | sort | uniq -c
  omsync-tui inspect snapshot --table-info t.pb /data/ssd/12_0/snapshot/202611221401
`

const binlogHelp = `
Prints every whole entry of the log files, in file order: file, log_index, term, method (put, delete), ts (put time), dimensions ([index,
key] of the indexes whose key lives in this partition) and the row. A damaged place is passed over and told at the end.

Examples:
  omsync-tui inspect binlog /data/ssd/12_0
  omsync-tui inspect binlog /data/ssd/12_0/binlog | jq -c 'select(.method == "delete")'
  omsync-tui inspect binlog /data/ssd/12_0 | jq .log_index | sort -n | tail -1
`

const manifestHelp = `
Prints what snapshot/MANIFEST says (offset, name, count, term), then what RocksDB's own MANIFEST says: the last sequence number, the
column families (one per group of indexes over the same columns), and the live table files with level and key range. It then checks
that these files, and no others, are there.

Examples:
  omsync-tui inspect manifest /data/ssd/12_0
  omsync-tui inspect manifest /data/ssd/12_0/snapshot/202611221401 | jq -c 'select(.table) | [.family, .level, .bytes]'

Exit codes: 0 all is there · 1 something is damaged or missing · 2 wrong usage`

// Command is `inspect`.
func Command(e Env) *cli.Command {
	return &cli.Command{
		Name: "inspect", Usage: "look into a partition's files: snapshot, log, manifests",
		UsageText: "omsync-tui inspect snapshot|binlog|manifest [flags] PATH",
		Description: `Prints JSON lines. Needs no cluster, writes nothing, and may be used beside a running tablet.
PATH is a partition's directory (<tid>_<pid>), snapshot/ or binlog/ in it, or a checkpoint in snapshot/.`,
		Commands: []*cli.Command{
			e.verb("snapshot", "rows of the checkpoint", snapshotHelp+notation, []cli.Flag{
				tableInfo(),
				&cli.StringFlag{Name: "now", Usage: "time at which TTLs are judged, `ms` since 1970; default: now"},
				&cli.BoolFlag{Name: "all", Usage: "hidden rows and other indexes, too"},
			}, func(ctx context.Context, cmd *cli.Command, at place) error {
				nowMs, err := e.now(cmd)
				if err != nil {
					return err
				}
				return e.withRows(cmd, &at, func(p *printer, s *schema) error { return showSnapshot(ctx, p, at, s, nowMs, cmd.Bool("all")) })
			}),
			e.verb("binlog", "entries of the log", binlogHelp+notation, []cli.Flag{tableInfo()}, func(ctx context.Context, cmd *cli.Command, at place) error {
				return e.withRows(cmd, &at, func(p *printer, _ *schema) error { return showBinlog(ctx, p, at) })
			}),
			e.verb("manifest", "what the manifests say", manifestHelp, nil, func(_ context.Context, _ *cli.Command, at place) error {
				p := newPrinter(e.Out, e.Err, nil)
				return p.end(showManifest(p, at))
			}),
		},
		Action: func(_ context.Context, cmd *cli.Command) error {
			if word := cmd.Args().First(); word != "" {
				return usage("inspect: there is no %q: snapshot, binlog, manifest", word)
			}
			return usage("inspect what? snapshot, binlog, manifest: see omsync-tui inspect --help")
		},
	}
}

func tableInfo() cli.Flag {
	return &cli.StringFlag{Name: "table-info", Usage: "the table's description: a TableInfo or TableMeta, binary or protobuf text (`file`)"}
}

// verb is a command with one word, PATH.
func (e Env) verb(name, short, help string, flags []cli.Flag, do func(ctx context.Context, cmd *cli.Command, at place) error) *cli.Command {
	return &cli.Command{
		Name: name, Usage: short, UsageText: "omsync-tui inspect " + name + " [flags] PATH", Description: strings.TrimSpace(help), Flags: flags,
		Action: func(ctx context.Context, cmd *cli.Command) error {
			switch cmd.Args().Len() {
			case 0:
				return usage("inspect %s: which PATH? a partition's directory (<tid>_<pid>), snapshot/ or binlog/ in it, or a checkpoint", name)
			case 1:
			default:
				return usage("inspect %s: one PATH at a time, not also %q", name, cmd.Args().Get(1))
			}
			at, err := find(cmd.Args().First())
			if err != nil {
				return err
			}
			return do(ctx, cmd, at)
		},
	}
}

// withRows runs do with a printer that reads the table's rows.
func (e Env) withRows(cmd *cli.Command, at *place, do func(p *printer, s *schema) error) error {
	s, err := loadSchema(cmd.String("table-info"), at)
	if err != nil {
		return err
	}
	p := newPrinter(e.Out, e.Err, s.set)
	if tid := s.meta.GetTid(); at.table != 0 && tid != 0 && uint32(tid) != at.table {
		p.note("the table's description is that of table %d (%s.%s), the directory is one of table %d", tid, s.meta.GetDb(), s.meta.GetName(), at.table)
	}
	return p.end(do(p, s))
}

func (e Env) now(cmd *cli.Command) (int64, error) {
	if !cmd.IsSet("now") {
		return e.Now().UnixMilli(), nil
	}
	ms, err := strconv.ParseInt(cmd.String("now"), 10, 64)
	if err != nil || ms <= 0 {
		return 0, usage("--now %q: milliseconds since 1970 are needed, like 1795313021000", cmd.String("now"))
	}
	return ms, nil
}
