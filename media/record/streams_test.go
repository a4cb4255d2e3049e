package record

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/rtp/codecs"
	"github.com/pion/webrtc/v4/pkg/media/ivfreader"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(childVariable) != "" {
		recordUntilKilled()
		return
	}
	goleak.VerifyTestMain(m)
}

// needTools fails where tests must run, and skips elsewhere.
func needTools(t testing.TB) {
	t.Helper()
	for _, name := range []string{"ffmpeg", "ffprobe"} {
		if _, err := exec.LookPath(name); err == nil {
			continue
		}
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is missing; task setup installs it", name)
		}
		t.Skipf("%s is missing; task setup installs it", name)
	}
}

// A sample is a stream that an encoder made.
type sample struct {
	codec   string
	packets []*rtp.Packet
	frames  int
	clock   int64
	reports []rtcp.SenderReport
}

// span is how long after the first packet p was captured.
func (s *sample) span(p *rtp.Packet) time.Duration {
	return time.Duration(int64(p.Timestamp-s.packets[0].Timestamp)) * time.Second / time.Duration(s.clock)
}

// clone returns a copy whose packets may be changed.
func (s *sample) clone() *sample {
	c := *s
	c.packets = nil
	for _, p := range s.packets {
		c.packets = append(c.packets, p.Clone())
	}
	return &c
}

const (
	sampleFrames = 50 // at 25 a second, with key frames at 0 and 25
	sampleWidth  = 320
	sampleHeight = 240
)

// encoders are the arguments of ffmpeg for each codec.
var encoders = map[string][]string{
	"VP8":  {"-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25", "-lag-in-frames", "0"},
	"VP9":  {"-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25", "-lag-in-frames", "0", "-strict", "experimental"},
	"H264": {"-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-b:v", "400k", "-g", "25", "-pix_fmt", "yuv420p"},
	"AV1":  {"-c:v", "libaom-av1", "-usage", "realtime", "-cpu-used", "8", "-b:v", "400k", "-g", "25", "-lag-in-frames", "0"},
	"opus": {"-c:a", "libopus", "-b:a", "48k", "-frame_duration", "20", "-application", "voip"},
}

var samples sync.Map // sampleKey -> func() (*sample, error)

type sampleKey struct {
	codec  string
	width  int
	height int
}

// encoded returns two seconds of a test picture or sound as RTP. Each is made once.
func encoded(t testing.TB, codec string) *sample {
	return encodedAs(t, sampleKey{codec, sampleWidth, sampleHeight})
}

func encodedAs(t testing.TB, key sampleKey) *sample {
	t.Helper()
	needTools(t)
	made, _ := samples.LoadOrStore(key, sync.OnceValues(func() (*sample, error) { return encode(key) }))
	s, err := made.(func() (*sample, error))()
	if err != nil {
		t.Fatalf("encoding %s: %v", key.codec, err)
	}
	return s.clone()
}

func encode(key sampleKey) (*sample, error) {
	input := []string{"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%dx%d:rate=25", key.width, key.height), "-frames:v", strconv.Itoa(sampleFrames)}
	s := &sample{codec: key.codec, frames: sampleFrames, clock: 90000}
	if key.codec == "opus" {
		input = []string{"-f", "lavfi", "-i", "sine=frequency=440:sample_rate=48000:duration=2"}
		s.clock = 48000
	}
	args := append(append([]string{"-hide_banner", "-v", "error", "-y"}, input...), encoders[key.codec]...)
	var err error
	if key.codec == "AV1" { // the distribution's ffmpeg has no payloader for it
		err = s.fromFile(args)
	} else {
		err = s.fromNetwork(args)
	}
	if err != nil {
		return nil, err
	}
	if key.codec == "opus" {
		s.frames = len(s.packets)
	}
	for i, p := range s.packets[1:] {
		if before := s.packets[i].SequenceNumber; p.SequenceNumber != before+1 {
			return nil, fmt.Errorf("packet %d came after %d", p.SequenceNumber, before)
		}
	}
	return s, nil
}

// fromNetwork has ffmpeg send RTP and RTCP to sockets of ours.
func (s *sample) fromNetwork(args []string) error {
	var conns [2]*net.UDPConn
	var ports [2]int
	for i := range conns {
		conn, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			return err
		}
		defer conn.Close()
		_ = conn.SetReadBuffer(4 << 20)
		conns[i], ports[i] = conn, conn.LocalAddr().(*net.UDPAddr).Port
	}
	var reading sync.WaitGroup
	reading.Go(func() { readAll(conns[0], s.takePacket) })
	reading.Go(func() { readAll(conns[1], s.takeReport) })
	args = append(args, "-f", "rtp", fmt.Sprintf("rtp://127.0.0.1:%d?rtcpport=%d&pkt_size=1200", ports[0], ports[1]))
	out, err := exec.Command("ffmpeg", args...).CombinedOutput()
	for _, conn := range conns {
		_ = conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond)) // loopback has delivered it by then
	}
	reading.Wait()
	if err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	if len(s.packets) == 0 {
		return fmt.Errorf("ffmpeg sent nothing: %s", out)
	}
	return nil
}

func readAll(conn *net.UDPConn, take func([]byte)) {
	for buf := make([]byte, 2048); ; {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		take(append([]byte(nil), buf[:n]...))
	}
}

func (s *sample) takePacket(b []byte) {
	p := &rtp.Packet{}
	if p.Unmarshal(b) == nil {
		s.packets = append(s.packets, p)
	}
}

func (s *sample) takeReport(b []byte) {
	packets, err := rtcp.Unmarshal(b)
	if err != nil {
		return
	}
	for _, p := range packets {
		if sr, ok := p.(*rtcp.SenderReport); ok {
			s.reports = append(s.reports, *sr)
		}
	}
}

// fromFile has ffmpeg write IVF and makes packets of it.
func (s *sample) fromFile(args []string) error {
	dir, err := os.MkdirTemp("", "record")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "sample.ivf")
	if out, err := exec.Command("ffmpeg", append(args, "-f", "ivf", path)...).CombinedOutput(); err != nil {
		return fmt.Errorf("ffmpeg: %w: %s", err, out)
	}
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	reader, _, err := ivfreader.NewWith(file)
	if err != nil {
		return err
	}
	packetizer := rtp.NewPacketizer(1200, 45, 4711, &codecs.AV1Payloader{}, rtp.NewFixedSequencer(1000), 90000)
	for {
		unit, _, err := reader.ParseNextFrame()
		if err != nil {
			break
		}
		s.packets = append(s.packets, packetizer.Packetize(unit, 90000/25)...)
	}
	return nil
}

// probed is what ffprobe finds in a file.
type probed struct {
	Codec    string
	Frames   int
	Width    int
	Height   int
	Duration float64 // of the container, 0 = not known
	Sizes    map[string]int
}

// probe decodes a file and counts its frames. What the decoder complains about fails the test.
func probe(t testing.TB, path string) probed {
	t.Helper()
	needTools(t)
	cmd := exec.Command("ffprobe", "-v", "warning", "-show_frames", "-show_streams", "-show_format", "-of", "json", path)
	var complaints strings.Builder
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil || complaints.Len() > 0 {
		t.Errorf("ffprobe %s: %v: %s", filepath.Base(path), err, complaints.String())
	}
	var found struct {
		Frames []struct{ Width, Height int }
		Stream []struct {
			CodecName     string `json:"codec_name"`
			Width, Height int
		} `json:"streams"`
		Format struct{ Duration string }
	}
	if err := json.Unmarshal(out, &found); err != nil || len(found.Stream) != 1 {
		t.Fatalf("ffprobe %s: %v, %d streams", filepath.Base(path), err, len(found.Stream))
	}
	p := probed{
		Codec: found.Stream[0].CodecName, Width: found.Stream[0].Width, Height: found.Stream[0].Height,
		Frames: len(found.Frames), Sizes: map[string]int{},
	}
	for _, f := range found.Frames {
		p.Sizes[fmt.Sprintf("%dx%d", f.Width, f.Height)]++
	}
	p.Duration, _ = strconv.ParseFloat(found.Format.Duration, 64)
	return p
}

// marshal encodes a packet.
func marshal(t testing.TB, p *rtp.Packet) []byte {
	t.Helper()
	b, err := p.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// keyFrameAt finds the first packet of the key frame that follows packet number from, by asking the codec.
func (s *sample) keyFrameAt(t testing.TB, from int) int {
	t.Helper()
	a := newAssembler(newCodec(s.codec, ""))
	for i, p := range s.packets[from:] {
		at := from + i
		first := at == 0 || s.packets[at-1].Timestamp != p.Timestamp
		if !first || !a.codec.head(p.Payload) {
			continue
		}
		var payloads [][]byte
		for _, other := range s.packets[at:] {
			if other.Timestamp == p.Timestamp {
				payloads = append(payloads, other.Payload)
			}
		}
		if f, err := a.codec.join(payloads); err == nil && f.key {
			return at
		}
	}
	t.Fatalf("%s: no key frame from packet %d", s.codec, from)
	return 0
}

// framesFrom counts the frames from packet number from on.
func (s *sample) framesFrom(from int) int {
	seen := map[uint32]bool{}
	for _, p := range s.packets[from:] {
		seen[p.Timestamp] = true
	}
	return len(seen)
}

// ntpOf is t as an NTP timestamp.
func ntpOf(t time.Time) uint64 {
	return uint64(t.Unix()+ntpUnixDiff)<<32 | uint64(t.Nanosecond())<<32/uint64(time.Second)
}

// be16 is n in two bytes.
func be16(n int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(n)) }
