package hdfs

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"strings"
	"syscall"
)

// remote is an exception of a NameNode or DataNode, native or from WebHDFS.
type remote interface {
	error
	Exception() string // the Java class
	Message() string   // with a stack trace below the first line
}

// explain puts an error into plain words, with the place and the operation, and wraps what tells its kind: fs.ErrPermission, fs.ErrExist, EDQUOT, …
func (s *service) explain(op, path string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s hdfs://%s%s: %w", op, s.name, path, s.words(err))
}

func (s *service) words(err error) error {
	var r remote
	if errors.As(err, &r) {
		return s.wordsOf(r)
	}
	text := err.Error()
	var dial *net.OpError
	switch {
	case errors.Is(err, fs.ErrPermission):
		return s.forbidden("")
	case errors.Is(err, fs.ErrNotExist):
		return fs.ErrNotExist
	case errors.Is(err, fs.ErrExist):
		return fs.ErrExist
	case errors.Is(err, syscall.ENOTEMPTY):
		return syscall.ENOTEMPTY
	case strings.Contains(text, "StandbyException"): // the native client keeps only its text
		return errStandby
	case errors.As(err, &dial) && dial.Op == "dial":
		return fmt.Errorf("can not be reached: %w", err)
	case strings.HasPrefix(text, "write failed: ERROR"): // of the native client; it does not say which
		return fmt.Errorf("one of the block's DataNodes can not be reached from the first (%w)", err)
	}
	return err
}

// wordsOf puts an exception into words.
func (s *service) wordsOf(r remote) error {
	class, said := r.Exception(), firstLine(r.Message())
	short := class[strings.LastIndexAny(class, ".$")+1:]
	switch {
	case short == "SafeModeException" || strings.Contains(said, "in safe mode") || strings.Contains(said, "SafeModeException"):
		return fmt.Errorf("the NameNode is in safe mode and takes no changes until its DataNodes have reported: %w", &spoken{said, r})
	case short == "AccessControlException" || short == "AuthorizationException" || short == "SecurityException":
		return s.forbidden(said)
	case short == "StandbyException":
		return errStandby
	case short == "FileNotFoundException":
		return fs.ErrNotExist
	case short == "FileAlreadyExistsException" || short == "AlreadyBeingCreatedException":
		return fs.ErrExist
	case short == "ParentNotDirectoryException" || strings.Contains(said, "is not a directory") || strings.Contains(said, "Not a directory"):
		return fmt.Errorf("%s: %w", said, syscall.ENOTDIR)
	case strings.HasSuffix(short, "QuotaExceededException"):
		return fmt.Errorf("a quota is used up: %s: %w", said, syscall.EDQUOT)
	case strings.Contains(said, "could only be written to") || strings.Contains(said, "could only be replicated to"):
		return fmt.Errorf("no DataNode takes the block (are they up, and have they space?): %w", &spoken{said, r})
	case short == "InvalidToken" || short == "SaslException":
		return fmt.Errorf("the login was refused: %w", &spoken{said, r})
	}
	return &spoken{short + ": " + said, r}
}

var errStandby = errors.New("no NameNode is active, all answer as standby: make one active")

// spoken is an exception with words of ours.
type spoken struct {
	text string
	of   remote
}

func (s *spoken) Error() string { return s.text }
func (s *spoken) Unwrap() error { return s.of }

func (s *service) forbidden(said string) error {
	if said == "" {
		said = fmt.Sprintf("HDFS user %q may not do that", s.user)
	}
	return fmt.Errorf("%w: %s (HDFS user %q; HADOOP_USER_NAME or hadoop.kerberos.principal decides who it is)", fs.ErrPermission, said, s.user)
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return strings.TrimSpace(s)
}
