/** A drawn person in front of a wall, in the place of a fake camera's test picture. */
export interface Portrait {
  readonly name: string;
  readonly wall: readonly [string, string];
  readonly skin: string;
  readonly hair: string;
  readonly shirt: string;
  readonly style: 'long' | 'short' | 'curls';
}

export const portraits: readonly Portrait[] = [
  { name: 'Mira', wall: ['#f3d9c2', '#d9a98a'], skin: '#f0c7a4', hair: '#4a2c22', shirt: '#2f6f73', style: 'long' },
  { name: 'Jonas', wall: ['#cfe0ea', '#8fb2c9'], skin: '#f4d3b8', hair: '#c78f45', shirt: '#34495e', style: 'short' },
  { name: 'Amara', wall: ['#e3e6cf', '#a9b98a'], skin: '#8d5a3c', hair: '#231915', shirt: '#e0a13c', style: 'curls' },
];

/** Makes getUserMedia deliver the portrait, breathing a little. Runs in the page, so it is complete in itself. */
export function installPortrait(portrait: Portrait): void {
  const width = 960;
  const height = 720;

  function draw(brush: CanvasRenderingContext2D, time: number): void {
    const { wall, skin, hair, shirt, style } = portrait;
    const fill = (colour: string | CanvasGradient, path: () => void): void => {
      brush.fillStyle = colour;
      brush.beginPath();
      path();
      brush.fill();
    };
    const light = brush.createLinearGradient(0, 0, width, height);
    light.addColorStop(0, wall[0]);
    light.addColorStop(1, wall[1]);
    fill(light, () => brush.rect(0, 0, width, height));
    // A window on the left, a shelf on the right.
    fill('rgb(255 255 255 / 0.45)', () => brush.roundRect(90, 80, 190, 270, 14));
    fill(wall[1], () => brush.rect(180, 80, 9, 270));
    fill('rgb(70 50 40 / 0.35)', () => brush.rect(690, 250, 210, 14));
    ['#b5563f', '#e8c15a', '#5b7f95', '#f2efe6', '#6d8a5c'].forEach((colour, index) => {
      fill(colour, () => brush.rect(705 + index * 30, 165 + (index % 3) * 14, 24, 85 - (index % 3) * 14));
    });

    const x = width / 2 + Math.sin(time / 1300) * 5;
    const y = 330 + Math.sin(time / 900) * 4;
    if (style === 'long') fill(hair, () => brush.roundRect(x - 150, y - 175, 300, 470, [150, 150, 60, 60]));
    if (style === 'curls') {
      for (let turn = 0; turn < 16; turn++) {
        const angle = Math.PI + (turn / 15) * Math.PI;
        fill(hair, () => brush.arc(x + Math.cos(angle) * 128, y - 40 + Math.sin(angle) * 140, 62, 0, 7));
      }
    }
    fill(shirt, () => brush.ellipse(x, height + 90, 330, 330, 0, Math.PI, 0));
    fill(skin, () => brush.roundRect(x - 52, y + 90, 104, 150, 50));
    fill('rgb(0 0 0 / 0.10)', () => brush.ellipse(x, y + 145, 52, 26, 0, 0, 7));
    fill(skin, () => brush.ellipse(x, y, 118, 148, 0, 0, 7));
    if (style === 'short') {
      fill(hair, () => brush.ellipse(x, y - 62, 128, 108, 0, Math.PI, 0));
      fill(hair, () => brush.ellipse(x - 40, y - 84, 92, 42, -0.25, 0, 7));
    } else {
      fill(hair, () => brush.ellipse(x, y - 70, 122, 92, 0, Math.PI, 0));
      fill(hair, () => brush.ellipse(x + (style === 'long' ? 44 : 0), y - 82, 84, 34, 0.18, 0, 7));
    }
    const blink = time % 4200 < 130 ? 2 : 11;
    for (const side of [-1, 1]) {
      fill('#2b211d', () => brush.ellipse(x + side * 44, y + 2, 9, blink, 0, 0, 7));
      fill('rgb(190 80 60 / 0.20)', () => brush.ellipse(x + side * 66, y + 48, 24, 15, 0, 0, 7));
      fill(hair, () => brush.roundRect(x + side * 44 - 24, y - 32, 48, 8, 4));
    }
    fill('rgb(0 0 0 / 0.13)', () => brush.ellipse(x, y + 36, 12, 8, 0, 0, 7));
    brush.strokeStyle = '#7d3228';
    brush.lineWidth = 7;
    brush.lineCap = 'round';
    brush.beginPath();
    brush.arc(x, y + 56, 38, 0.25, Math.PI - 0.25);
    brush.stroke();
  }

  function film(): MediaStreamTrack {
    const canvas = Object.assign(document.createElement('canvas'), { width, height });
    const brush = canvas.getContext('2d');
    if (!brush) throw new Error('no canvas');
    draw(brush, 0);
    setInterval(() => draw(brush, performance.now()), 66);
    const [track] = canvas.captureStream(15).getVideoTracks();
    if (!track) throw new Error('no picture');
    return track;
  }

  const original = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  navigator.mediaDevices.getUserMedia = async (constraints) => {
    const stream = await original(constraints);
    for (const track of stream.getVideoTracks()) {
      track.stop();
      stream.removeTrack(track);
      stream.addTrack(film());
    }
    return stream;
  };
}
