package media

import (
	"testing"
)

// keyDescriptor comes from a browser: the first packet of a key frame in three spatial and three temporal layers, with
// the structure and the sizes.
const keyDescriptor = "c1017280081485214eafffaaaa863cf0430c10c302afc0aaa0063c00430010c002a000a80006000040001d954926e082b04a0941b820ac12" +
	"82503157f974000ca864330e222222eca8655304224230eca877530077004200ef008601df010d"

func TestDependencies(t *testing.T) {
	var d dependencies
	if _, ok := d.describe(unhex(t, "860173")); ok {
		t.Error("a frame was described by a structure that has not come")
	}
	for i, c := range []struct {
		dd         string
		layer      layer
		start, end bool
		joins      bool     // some operating point
		active     layerSet // 0 = as before
	}{
		{keyDescriptor, layer{0, 0}, true, true, true, 0x777},
		{"86017340fc", layer{1, 0}, true, false, true, 0x077},
		{"46017340fc", layer{1, 0}, false, true, true, 0},
		{"c3017540fc", layer{0, 2}, true, true, false, 0},
		{"88017640fc", layer{1, 2}, true, false, false, 0},
		{"48017640fc", layer{1, 2}, false, true, false, 0},
		{"c2017840fc", layer{0, 1}, true, true, true, 0},
		{keyDescriptor, layer{0, 0}, true, true, true, 0x777},
		{"860173", layer{1, 0}, true, false, true, 0},
		{"460173", layer{1, 0}, false, true, true, 0},
		{"8b0174", layer{2, 0}, true, false, true, 0},
		{"0b0174", layer{2, 0}, false, false, true, 0},
		{"c30175", layer{0, 2}, true, true, false, 0},
	} {
		l, ok := d.describe(unhex(t, c.dd))
		t.Logf("%d: %+v, active %012b", i, l, d.active)
		if !ok || l.layer != c.layer || l.start != c.start || l.end != c.end || (l.joins != 0) != c.joins || c.active != 0 && d.active != c.active {
			t.Errorf("%d: %+v %v, active %03x; want %+v", i, l, ok, d.active, c)
		}
	}
	sizes, n := codecAV1.sizes(nil, &d)
	if n != 3 || sizes != [maxSpatial]size{{120, 67}, {240, 135}, {480, 270}} {
		t.Errorf("%d sizes: %v", n, sizes)
	}
}

// A descriptor that is cut short anywhere is refused and leaves what is known.
func TestDependenciesCut(t *testing.T) {
	whole := unhex(t, keyDescriptor)
	var d dependencies
	if _, ok := d.describe(whole); !ok {
		t.Fatal("the whole of it")
	}
	known := d.structure
	for n := range len(whole) {
		if n == 3 { // then it is a short one of a known structure
			continue
		}
		if l, ok := d.describe(whole[:n]); ok {
			t.Errorf("%d bytes: %+v", n, l)
		}
	}
	if d.structure != known {
		t.Error("the structure was replaced")
	}
}

func FuzzDependencies(f *testing.F) {
	for _, s := range []string{keyDescriptor, "86017340fc", "c30175", "800001801e3a4101809f807780", "80000180011ea85141010c04fc03bc"} {
		f.Add(unhex(f, keyDescriptor), unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var d dependencies
		for _, b := range [][]byte{first, second} {
			if l, ok := d.describe(b); ok && (l.spatial >= maxSpatial || l.temporal >= maxTemporal) {
				t.Errorf("%x: %+v", b, l)
			}
		}
		if _, n := codecAV1.sizes(nil, &d); n > maxSpatial {
			t.Errorf("%d sizes", n)
		}
	})
}
