// Package v1 holds what travels over Berth's REST API, version 1: the wire
// types, their defaults, strict decoding and validation. It is pure: the
// standard library only, no clock, no input or output.
//
// The way of a document is DecodeCluster, then SetDefaults, then Validate. The
// first finds what is malformed (status 400), the last what is not allowed
// (status 422); both name every wrong field at once, up to MaxFieldErrors.
package v1
