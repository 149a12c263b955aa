// Package fs is what the kernel sees.
package fs
