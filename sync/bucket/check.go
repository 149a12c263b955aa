package bucket

import (
	"context"
	"errors"
)

// Check is a placeholder until the texts are written.
func (c *Client) Check(ctx context.Context) error {
	for _, err := range c.list(ctx, c.config.Prefix) {
		if err != nil {
			return c.fail(ctx, err, "list objects")
		}
		break
	}
	return errors.Join()
}
