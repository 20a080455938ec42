package rule

import (
	"time"

	"weir/proto/config"
)

// schedule is a time of day on some days of the week.
type schedule struct {
	from, to time.Duration // since midnight by the clock on the wall; to is exclusive
	days     [7]bool       // days on which it begins
	zone     *time.Location
}

func newSchedule(c *config.Schedule) *schedule {
	s := &schedule{from: c.From, to: c.To, zone: time.Local}
	if c.Zone != "" {
		if z, err := time.LoadLocation(c.Zone); err == nil { // checked by config
			s.zone = z
		}
	}
	for d := range s.days {
		s.days[d] = len(c.Days) == 0
	}
	for _, d := range c.Days {
		s.days[d] = true
	}
	return s
}

// active reports whether the schedule holds at t. One that ends at or before its
// beginning ends on the day after.
func (s *schedule) active(t time.Time) bool {
	t = t.In(s.zone)
	clock := time.Duration(t.Hour())*time.Hour + time.Duration(t.Minute())*time.Minute + time.Duration(t.Second())*time.Second
	today := s.days[t.Weekday()]
	if s.from < s.to {
		return today && clock >= s.from && clock < s.to
	}
	yesterday := s.days[(t.Weekday()+6)%7]
	return today && clock >= s.from || yesterday && clock < s.to
}
