package app

import (
	"context"
	"errors"
	"fmt"
	"net"
	"syscall"
	"time"

	"github.com/treeline-ml/treeline/config"
)

// lastWords is how much longer calls may take than batches when the daemon stops.
const lastWords = 5 * time.Second

// listeners are the two sockets of the daemon.
type listeners struct{ data, admin net.Listener }

// listen opens both sockets, or none.
func listen(ctx context.Context, c config.Listeners) (*listeners, error) {
	data, err := listenOn(ctx, c.Data, "listeners.data", "--listen", "SCORER_LISTENERS_DATA")
	if err != nil {
		return nil, err
	}
	admin, err := listenOn(ctx, c.Admin, "listeners.admin", "--admin-listen", "SCORER_LISTENERS_ADMIN")
	if err != nil {
		return nil, errors.Join(err, data.Close())
	}
	return &listeners{data: data, admin: admin}, nil
}

func listenOn(ctx context.Context, addr, key, flag, env string) (net.Listener, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s: another program uses %s; stop it, or choose another address with %s, %s or %s in the configuration: %w",
			key, addr, flag, env, key, err)
	case err != nil:
		return nil, fmt.Errorf("%s: %w", key, err)
	}
	return l, nil
}

// close closes sockets that the server did not get to serve; those that it did are closed already.
func (l *listeners) close() error {
	var errs []error
	for _, one := range []net.Listener{l.data, l.admin} {
		if err := one.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// wait lets a duration pass.
func wait(d time.Duration) {
	if d > 0 {
		<-time.After(d)
	}
}
