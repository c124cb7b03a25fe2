package hdfsserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"omsync/testenv/daemons"
)

// jarsDir is where the jars lie below the module's root; $OMSYNC_HADOOP_JARS names another place.
const jarsDir = "build/hadoop-jars"

// fetch is the remedy where they do not.
const fetch = "mvn -q -B -f testenv/hdfsserver/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=build/hadoop-jars"

// findJava finds Java and the jars.
func findJava() (java, jars string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", errors.New("a real HDFS needs Java: install a JRE 17 (Debian: default-jre-headless)")
	}
	jars = os.Getenv("OMSYNC_HADOOP_JARS")
	if jars == "" {
		root, err := daemons.Root()
		if err != nil {
			return "", "", err
		}
		jars = filepath.Join(root, jarsDir)
	}
	found, err := filepath.Glob(filepath.Join(jars, "hadoop-hdfs-*.jar"))
	if err != nil || len(found) == 0 {
		return "", "", fmt.Errorf("no Hadoop jars in %s: fetch them once, in the module's root, with\n\t%s", jars, fetch)
	}
	return java, filepath.Join(jars, "*"), nil
}

// javaArgs are what all the processes here are started with: they are short-lived and share few cores.
func javaArgs(heap, logDir string) []string {
	return []string{
		"-Xmx" + heap, "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-Djava.net.preferIPv4Stack=true", "-Dhadoop.log.dir=" + logDir,
		"-Djava.library.path=", "--add-opens=java.base/java.lang=ALL-UNNAMED", "--add-opens=java.security.jgss/sun.security.krb5=ALL-UNNAMED",
	}
}
