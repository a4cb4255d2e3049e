package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"confab/signaling"
	"confab/signaling/wire"
)

// tokenCommand is `confab token`. The secret is found as the server finds it: run it with the same settings.
type tokenCommand struct {
	User      string        `required:"" help:"Who the person is (sub), 1 to 128 bytes." placeholder:"ID"`
	Name      string        `help:"Name shown to others; the user when left out."`
	Kind      string        `default:"human" enum:"human,bot" help:"human, or bot for a program that takes part."`
	Role      string        `default:"member" enum:"viewer,member,moderator" help:"viewer, member or moderator."`
	Rooms     []string      `default:"*" help:"Rooms it is good for: names, prefix-* or *." placeholder:"ROOM"`
	TTL       time.Duration `name:"ttl" default:"24h" help:"How long it is good; 0 = for ever."`
	Publish   []string      `help:"What may be sent: microphone, camera, screen, screen-audio, or none. Left out: as the role has it." placeholder:"SOURCE"`
	Subscribe *bool         `negatable:"" help:"May see and hear others. Left out: as the role has it."`
	Chat      *bool         `negatable:"" help:"May chat. Left out: as the role has it."`
	Bots      *bool         `name:"use-bots" negatable:"" help:"May let bots in and out. Left out: as the role has it."`
}

// Run prints the token on a line of its own.
func (t *tokenCommand) Run(p *process) error {
	log := newLogger(p.settings, p.stderr)
	found, err := openSecret(p.settings, p.origins, false, log)
	if errors.Is(err, errNoSecret) {
		return fmt.Errorf("%w: start confab once so that it makes one, or name its folder with --data, or set --auth-secret", err)
	} else if err != nil {
		return err
	}
	keys, err := signaling.OpenKeyring(context.Background(), signaling.KeyringOptions{Secret: found.bytes, Logger: log})
	if err != nil {
		return err
	}
	claims, err := t.claims(time.Now())
	if err != nil {
		return err
	}
	token, err := keys.Mint(*claims)
	if err != nil {
		if refused, ok := errors.AsType[*wire.Error](err); ok {
			return &settingError{name: "user, --role, --rooms or --publish", text: refused.Text}
		}
		return err
	}
	_, err = fmt.Fprintln(p.stdout, token)
	return err
}

func (t *tokenCommand) claims(now time.Time) (*signaling.Claims, error) {
	role := wire.Role(t.Role)
	c := &signaling.Claims{
		User: wire.UserID(t.User), Name: signaling.CleanName(t.Name), Kind: wire.ParticipantKind(t.Kind), Role: role, Grants: signaling.RoleGrants(role), Rooms: t.Rooms,
	}
	if c.Name == "" {
		c.Name = signaling.CleanName(t.User)
	}
	switch {
	case t.TTL < 0:
		return nil, &settingError{name: "ttl", text: "it is negative; write a duration such as 24h, or 0 for ever"}
	case t.TTL > 0:
		c.ExpiresAt = now.Add(t.TTL)
	}
	if len(t.Publish) > 0 {
		c.Grants.Publish = []wire.Source{}
		for _, source := range t.Publish {
			if source != "none" || len(t.Publish) > 1 {
				c.Grants.Publish = append(c.Grants.Publish, wire.Source(source))
			}
		}
	}
	for _, grant := range []struct {
		said *bool
		have *bool
	}{{t.Subscribe, &c.Grants.Subscribe}, {t.Chat, &c.Grants.Chat}, {t.Bots, &c.Grants.Bots}} {
		if grant.said != nil {
			*grant.have = *grant.said
		}
	}
	return c, nil
}
