// Package redisstore keeps entries and purges in Redis, shared by the nodes of a
// fleet.
package redisstore
