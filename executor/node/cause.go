package node

import (
	"regexp"

	"github.com/berthdata/berth/executor/process"
)

// causes are what a node's last words mean: a full disk
// also shows as a failed shard, a taken port also as a failed start.
var causes = []process.Sign{
	{Pattern: regexp.MustCompile(`java\.lang\.OutOfMemoryError`), Hint: "the JVM ran out of memory: give the node more memory or heap"},
	{Pattern: regexp.MustCompile(`There is insufficient memory for the Java Runtime|Cannot allocate memory`), Hint: "the machine or container has too little memory for the JVM"},
	{Pattern: regexp.MustCompile(`(?i)failed to obtain (node|in[- ]?memory)? ?locks?`), Hint: "another process uses the same data path"},
	{Pattern: regexp.MustCompile(`BindException|BindTransportException|BindHttpException|Address already in use`), Hint: "a port or address could not be bound"},
	{Pattern: regexp.MustCompile(`No space left on device|Disk quota exceeded`), Hint: "the disk is full"},
	{Pattern: regexp.MustCompile(`(?i)bootstrap check failure|bootstrap checks failed|^\[\d+\]: `), Hint: "Elasticsearch's bootstrap checks refuse this machine"},
	{Pattern: regexp.MustCompile(`can ?not run elasticsearch as root`), Hint: "the node was started as root"},
	{Pattern: regexp.MustCompile(`Failed to parse (value|setting)|(?i)invalid value .* for setting|value .* for setting .* must be`), Hint: "a setting has a value that this version does not take"},
	{Pattern: regexp.MustCompile(`(?i)unknown setting \[`), Hint: "the configuration has a setting that this version does not know"},
	{Pattern: regexp.MustCompile(`(?i)cannot (downgrade|upgrade) a node|incompatible with (the )?(current )?version|IndexFormatTooNew|IndexFormatTooOld`), Hint: "the data was written by another, incompatible version"},
	{Pattern: regexp.MustCompile(`(?i)different cluster uuid|CoordinationStateRejectedException`), Hint: "the node's data belongs to another cluster"},
	{Pattern: regexp.MustCompile(`Unrecognized VM option|Unrecognized option:|Could not create the Java Virtual Machine|Conflicting collector|Multiple garbage collectors`), Hint: "the JVM refuses one of its options"},
	{Pattern: regexp.MustCompile(`UnsupportedClassVersionError|(?i)minimum required Java version`), Hint: "this Java is too old or too new for the version"},
	{Pattern: regexp.MustCompile(`AccessDeniedException|Permission denied|AccessControlException`), Hint: "the node's user may not use a file"},
	{Pattern: regexp.MustCompile(`CorruptIndexException|CorruptStateException|checksum failed`), Hint: "the node's data on disk is damaged"},
	{Pattern: regexp.MustCompile(`(?i)fatal (error|exception)|^ERROR: |Exception in thread "main"|StartupException|\[ERROR\s*\]`), Hint: "the node reported an error"},
	{Pattern: regexp.MustCompile(`^(java\.lang\.|org\.elasticsearch\.)\S*(Exception|Error)\b`), Hint: "the node reported an error"},
}
