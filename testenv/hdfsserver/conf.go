package hdfsserver

import (
	"encoding/xml"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Conf is Hadoop properties.
type Conf map[string]string

// with lays more over c.
func (c Conf) with(more ...Conf) Conf {
	out := maps.Clone(c)
	for _, m := range more {
		maps.Copy(out, m)
	}
	return out
}

func (c Conf) write(path string) error {
	var b strings.Builder
	b.WriteString("<?xml version=\"1.0\"?>\n<configuration>\n")
	for _, k := range slices.Sorted(maps.Keys(c)) {
		fmt.Fprintf(&b, "  <property><name>%s</name><value>", k)
		if err := xml.EscapeText(&b, []byte(c[k])); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
		b.WriteString("</value></property>\n")
	}
	b.WriteString("</configuration>\n")
	if err := os.WriteFile(path, []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("write Hadoop conf: %w", err)
	}
	return nil
}

const log4j = `log4j.rootLogger=INFO,A
log4j.appender.A=org.apache.log4j.ConsoleAppender
log4j.appender.A.layout=org.apache.log4j.PatternLayout
log4j.appender.A.layout.ConversionPattern=%d{ISO8601} %p %c{1}: %m%n
`

// writeConf fills a conf directory of a server: HttpServer2 looks for webapps on the class path, which the jars lack.
func writeConf(dir string, core, hdfs Conf) error {
	for _, d := range []string{"webapps/hdfs", "webapps/datanode"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return fmt.Errorf("write Hadoop conf: %w", err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "log4j.properties"), []byte(log4j), 0o644); err != nil {
		return fmt.Errorf("write Hadoop conf: %w", err)
	}
	if err := core.write(filepath.Join(dir, "core-site.xml")); err != nil {
		return err
	}
	return hdfs.write(filepath.Join(dir, "hdfs-site.xml"))
}
