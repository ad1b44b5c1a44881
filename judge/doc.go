// Package judge has tests that judge the built program from outside: the public
// suite for HTTP caches, and real sites in a real browser. README.md says what
// they need and how to run one of them alone.
package judge
