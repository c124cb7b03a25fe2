package conf

import "strings"

// Flags of the libraries that OpenMLDB's C++ collector is built with. A conf file of a cluster in service may hold any of them: they are accepted with a
// warning, by name or by beginning (name*).
const (
	brpcSwitches = `baidu_protocol_use_fullname baidu_std_protocol_deliver_timeout_ms bvar_abort_on_same_name bvar_dump bvar_enable_sampling
		bvar_log_dumpped connect_timeout_as_unreachable crash_on_fatal_log defer_close_respect_idle enable_dir_service enable_rpcz
		enable_threads_service event_dispatcher_edisp_unsched graceful_quit_on_sighup graceful_quit_on_sigterm http_verbose immutable_flags
		log_as_json log_bid log_connected log_connection_close log_error_text log_func_name log_hostname log_idle_connection_close log_pid
		log_process_id log_year mbvar_dump pb_enum_as_number print_stack_on_check quote_vector redis_verbose reuse_addr reuse_port reuse_uds_path
		rpc_dump rpcz_hex_log_id save_series show_bthread_creation_in_vars show_per_worker_usage_in_vars socket_keepalive
		usercode_in_coroutine usercode_in_pthread use_cxx_mangle`
	brpcValues = `baidu_* brpc_* bthread_* bvar_* circuit_breaker_* consul_* defer_close_second discovery_* event_dispatcher_* free_memory_to_system_interval
		grpc_* guard_page_size h2_* health_check_* http_* idle_timeout_s idle_timeout_second max_body_size max_connection_pool_size
		max_flame_graph_width max_pending_in_each_backup_thread mbvar_* memcache_* mongo_* nacos_* ns_access_interval nshead_* rdma_* redis_* rpc_dump_*
		rpcz_* rtmp_* socket_* ssl_* stack_size_* task_group_* tc_stack_* timeout_in_* usercode_backup_threads vlog_*`
	glogSwitches = `alsologtostderr colorlogtostderr colorlogtostdout drop_log_memory log_file_header log_prefix log_utc_time log_year_in_prefix
		logtostderr logtostdout stop_logging_if_full_disk symbolize_stacktrace timestamp_in_logfile_name`
	glogValues = `alsologtoemail log_backtrace_at log_dir log_link logbuflevel logbufsecs logcleansecs logemaillevel logfile_mode logmailer max_log_size
		minloglevel stderrthreshold v vmodule`
	gflagsSwitches = `help helpfull helppackage helpshort helpxml version`
	gflagsValues   = `fromenv helpmatch helpon tab_completion_columns tab_completion_word tryfromenv undefok`
)

// instead says what to write for those that somebody may miss.
var instead = map[string]string{
	"log_dir": "use openmldb_log_dir", "max_log_size": "use log_max_bytes", "minloglevel": "use log_level", "v": "use log_level", "vmodule": "use log_level",
	"logtostderr": "use openmldb_log_dir= (empty)", "stderrthreshold": "use openmldb_log_dir= (empty) for a log on standard error",
	"max_body_size": "messages are bounded by socket_max_unwritten_bytes",
}

// foreignFlag is one of those libraries' flags.
type foreignFlag struct {
	library string
	name    string // as listed
	isBool  bool
}

var foreignFlags = func() (out []foreignFlag) {
	for _, g := range []struct {
		library, names string
		isBool         bool
	}{
		{"brpc", brpcSwitches, true}, {"brpc", brpcValues, false}, {"glog", glogSwitches, true}, {"glog", glogValues, false},
		{"gflags", gflagsSwitches, true}, {"gflags", gflagsValues, false},
	} {
		for _, n := range strings.Fields(g.names) {
			out = append(out, foreignFlag{g.library, n, g.isBool})
		}
	}
	return out
}()

// foreign finds a flag of brpc, glog or gflags; a full name counts before a beginning.
func foreign(name string) (f foreignFlag, ok bool) {
	for _, f := range foreignFlags {
		if f.name == name {
			return f, true
		}
	}
	for _, f := range foreignFlags {
		if p, cut := strings.CutSuffix(f.name, "*"); cut && strings.HasPrefix(name, p) {
			return f, true
		}
	}
	return foreignFlag{}, false
}

func (f foreignFlag) reason(name string) string {
	if r := instead[name]; r != "" {
		return "a flag of " + f.library + ": " + r
	}
	return "a flag of " + f.library + ", which is not in here"
}
