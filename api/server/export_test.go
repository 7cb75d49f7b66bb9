package server

import (
	"net"
	"slices"
	"strings"
)

// Facts are what the OpenAPI document must say about a route.
type Facts struct {
	Query  []string
	Public bool
}

// Ordinary says whether a route knows callers by tokens with scopes, and answers
// errors as problem documents: drivers have tokens, the submission protocol has
// errors of their own.
func Ordinary(method, path string) bool {
	for _, rt := range routesOfAll() {
		if rt.method == method && documented(rt.path) == path {
			return rt.fail == nil && rt.access != accessDriver
		}
	}
	return true
}

// documented is a route's path as OpenAPI has it.
func documented(path string) string {
	return strings.NewReplacer("...}", "}", "{$}", "").Replace(path)
}

func routesOfAll() []route { return (&Server{opts: Options{Spark: &Spark{}}}).routes() }

// RouteFacts returns the facts of the route, the zero value when there is none.
func RouteFacts(method, path string) Facts {
	for _, rt := range routesOfAll() {
		if rt.method == method && documented(rt.path) == path {
			query := append([]string{}, rt.query...)
			slices.Sort(query)
			return Facts{Query: query, Public: rt.access == accessPublic}
		}
	}
	return Facts{}
}

// RoutePatterns lists all routes.
func RoutePatterns() []string {
	var list []string
	for _, rt := range routesOfAll() {
		list = append(list, rt.method+" "+documented(rt.path))
	}
	return list
}

// ListenBounded is Listen with another bound.
var ListenBounded = listen

// Inner is the connection below a bounded one.
func Inner(c net.Conn) net.Conn { return c.(*boundedConn).Conn }
