// Package javajson writes and reads protobuf messages as protobuf-java-util's JsonFormat does, which the helper and its users know
// (formats.md §7): two-space indent, lowerCamelCase names in field-number order, only fields that are present, 64-bit numbers as strings,
// gson's HTML escaping, no newline at the end. protojson varies its white space on purpose and can not be used for writing.
//
// Reading is stricter than upstream: unknown fields, unknown enum values and broken JSON are errors.
//
// What does not belong here: HTTP.
package javajson
