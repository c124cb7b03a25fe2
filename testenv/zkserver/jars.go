package zkserver

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// jarsDir is where the jars lie below the module's root; $OMSYNC_ZK_JARS names another place.
const jarsDir = "build/zk-jars"

// fetch is the remedy where they do not.
const fetch = "mvn -q -B -f testenv/zkserver/pom.xml dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=build/zk-jars"

// classPath finds Java and the jars.
func classPath() (java, cp string, err error) {
	if java, err = exec.LookPath("java"); err != nil {
		return "", "", errors.New("a real ZooKeeper needs Java: install a JRE 11 or later (Debian: default-jre-headless)")
	}
	dir := os.Getenv("OMSYNC_ZK_JARS")
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return "", "", err
		}
		dir = filepath.Join(root, jarsDir)
	}
	found, err := filepath.Glob(filepath.Join(dir, "zookeeper-*.jar"))
	if err != nil || len(found) == 0 {
		return "", "", fmt.Errorf("no ZooKeeper jars in %s: fetch them once, in the module's root, with\n\t%s", dir, fetch)
	}
	return java, filepath.Join(dir, "*"), nil
}

// moduleRoot is the directory of go.mod above the working directory: that of the test's package.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	for {
		b, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && strings.HasPrefix(string(b), "module omsync\n") {
			return dir, nil
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("the working directory is not inside the omsync module: set OMSYNC_ZK_JARS to the directory of the ZooKeeper jars")
		}
		dir = up
	}
}
