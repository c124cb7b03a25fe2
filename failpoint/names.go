package failpoint

import "errors"

// ErrInjected is what an armed "error" place returns.
var ErrInjected = errors.New("injected failure")

// Names lists every place, in the order a generation passes them (docs/design.md §5).
var Names = []string{
	// collector, pin (§5.1 step 1)
	"collector/link-log",      // before the log files are linked
	"collector/link-snapshot", // before the checkpoint is linked
	"collector/pin",           // the pin is complete, its record is not yet written
	"collector/pinned",        // after the pin record
	"collector/z",             // before z is read
	// collector, hand-off set (step 3)
	"collector/plan",      // E is computed, not yet proposed
	"collector/plan-sent", // proposed
	// collector, rows
	"collector/row",      // before a batch of the scan is sent
	"collector/backlog",  // before a batch of E is sent
	"collector/log",      // before a batch of the log phase is sent
	"collector/scan-end", // before the end of the scan is told
	"collector/prune",    // before links below the committed point go
	"collector/clean",    // before the holds of a removed subtask go
	// synctool, one segment (§5.3)
	"synctool/plan",           // before a proposed plan is stored
	"synctool/plan-stored",    // state file written, node not yet set
	"synctool/row",            // before rows are encoded into the spool
	"synctool/roll",           // before the spool is closed
	"synctool/spool",          // spool closed
	"synctool/create",         // before the stage file is created
	"synctool/write",          // in the middle of the copy
	"synctool/close",          // before the stage file is closed
	"synctool/stat",           // before its length is checked
	"synctool/decide-before",  // before the multi
	"synctool/decide-after",   // after the multi
	"synctool/rename-before",  // before stage -> final
	"synctool/rename-between", // after that of the rows, before that of the deletes
	"synctool/rename-after",   // after the last
	"synctool/ack",            // before the collector is told
	"synctool/mirror",         // before the progress mirror is written
	"synctool/clear",          // before pending is cleared
	// synctool, publish (§5.1 step 4)
	"synctool/publish-before", // before the publish decision
	"synctool/publish-after",  // after it
	"synctool/publish-rename", // before each rename of the publication
	"synctool/publish-done",   // all renamed, not yet recorded
	// synctool, end of a mode-0 task
	"synctool/success",  // before the last subtask's SUCCESS
	"synctool/finished", // before _SUCCESS is written
	"synctool/retire",   // before the task's nodes go
	// synctool, takeover
	"synctool/epoch",   // before the epoch is bumped
	"synctool/recover", // before a pending segment is recovered
	"synctool/sweep",   // before a stage file is swept
}
