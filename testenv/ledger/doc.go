// Package ledger is the oracle of every destructive test: it keeps what tablets were asked and what they acknowledged, and says of every row how often
// the destination must hold it.
//
// A row is known by its tag, "L<partition>-<n>", which the load writes into one string column; rows that a fixture brought along are known by their
// values (Seed). For each row the ledger keeps every put with the time it was begun, the time it was acknowledged (steps of one counter, so that
// "certainly before" is a comparison) and its log index. What the product may choose for itself comes in as a Window: the position z that the export
// of the base ends at, the snapshot it took as its base, the time of the pin. Each can be known (from the subtask's state) or only bounded; what is
// bounded widens the answer.
//
// # The claim, row by row (docs/design.md §5)
//
//	puts > z                     each must appear once (mode 0: must not appear)
//	puts <= z of one (key, ts, value), together:
//	  live at z, unexpired       must appear once
//	  in the base when pinned    must appear once, removed since or not
//	  put after the base, overwritten or deleted (or truncated away) before z
//	                             may appear once
//	  removed before the base    must not appear: a phantom
//	  truncated before the base  must not appear, except within the clock tolerance, where once is allowed
//	  expired at the pin         must not appear; beyond the latest n versions: may
//	put before -ts in mode 1     must not appear
//	not acknowledged             may appear once for each attempt
//
// The reader of files shares no code with the product's encoders: ReadCSV is written here, ReadPython runs pyarrow.
//
// What does not belong here: writing (testenv/load), tablets (testenv/tabletsim).
package ledger
