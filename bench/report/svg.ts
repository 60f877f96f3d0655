import type { Plot, Series } from '../result.ts';

const size = { width: 720, height: 420 };
const frame = { left: 70, right: 190, top: 44, bottom: 56 };
const colours = ['#1b6ca8', '#d1495b', '#3a7d44', '#8d5fb0', '#c77d0a', '#4a4a4a'];

const labelWidth = 36;

type Scale = (value: number) => number;

/** A line for each series over its points, as a picture that needs nothing else. */
export function svgOf({ title, x, y, logarithmic = false, series }: Plot): string {
  const points = series.flatMap((one) => one.points);
  const ticksX = [...new Set(points.map(([at]) => at))].toSorted((a, b) => a - b);
  const ticksY = logarithmic
    ? powersOver(points.map(([, value]) => value))
    : stepsTo(Math.max(0, ...points.map(([, value]) => value)));
  const toX = scale(0, Math.max(...ticksX, 1), frame.left, size.width - frame.right);
  const [low = 0, high = 1] = [ticksY[0], ticksY.at(-1)];
  const linear = scale(transform(low), transform(high), size.height - frame.bottom, frame.top);
  const toY: Scale = (value) => linear(transform(value));

  function transform(value: number): number {
    return logarithmic ? Math.log10(Math.max(value, 1e-3)) : value;
  }

  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${size.width} ${size.height}" font-family="sans-serif" font-size="12">`,
    `<rect width="100%" height="100%" fill="#fff"/>`,
    text(frame.left, 24, title, 'font-size="15" font-weight="bold"'),
    ...ticksY.map((value) => gridLine(toY(value), label(value))),
    ...apart(ticksX, toX).map((value) =>
      text(toX(value), size.height - frame.bottom + 18, label(value), 'text-anchor="middle"'),
    ),
    text((frame.left + size.width - frame.right) / 2, size.height - 14, x, 'text-anchor="middle"'),
    text(frame.left, frame.top - 6, y, 'fill="#666"'),
    ...series.flatMap((one, index) => lineOf(one, index, toX, toY)),
    '</svg>\n',
  ].join('\n');
}

/** Those whose labels do not lie upon each other. */
function apart(ticks: readonly number[], toX: Scale): number[] {
  let last = Number.NEGATIVE_INFINITY;
  return ticks.filter((value) => {
    if (toX(value) - last < labelWidth) return false;
    last = toX(value);
    return true;
  });
}

function lineOf({ name, points }: Series, index: number, toX: Scale, toY: Scale): string[] {
  const colour = colours[index % colours.length];
  const places = points.map(([at, value]) => [toX(at).toFixed(1), toY(value).toFixed(1)] as const);
  const legendY = frame.top + 10 + index * 18;
  return [
    `<polyline fill="none" stroke="${colour}" stroke-width="2" points="${places.map((place) => place.join(',')).join(' ')}"/>`,
    ...places.map(([cx, cy]) => `<circle cx="${cx}" cy="${cy}" r="3" fill="${colour}"/>`),
    text(size.width - frame.right + 16, legendY + 4, name, `fill="${colour}"`),
  ];
}

function gridLine(at: number, value: string): string {
  const line = `<line x1="${frame.left}" x2="${size.width - frame.right}" y1="${at}" y2="${at}" stroke="#ddd"/>`;
  return `${line}\n${text(frame.left - 8, at + 4, value, 'text-anchor="end"')}`;
}

function text(x: number, y: number, content: string, attributes: string): string {
  const safe = content.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  return `<text x="${x}" y="${y}" ${attributes}>${safe}</text>`;
}

function scale(low: number, high: number, from: number, to: number): Scale {
  return (value) => from + ((value - low) / (high - low || 1)) * (to - from);
}

function stepsTo(highest: number): number[] {
  const rough = (highest || 1) / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  return Array.from({ length: Math.ceil((highest || 1) / step) + 1 }, (_, index) => index * step);
}

function powersOver(values: readonly number[]): number[] {
  const positive = values.filter((value) => value > 0);
  const lowest = Math.floor(Math.log10(Math.min(...positive, 1)));
  const highest = Math.ceil(Math.log10(Math.max(...positive, 10)));
  return Array.from({ length: highest - lowest + 1 }, (_, index) => 10 ** (lowest + index));
}

function label(value: number): string {
  return value >= 1_000 ? value.toLocaleString('en').replaceAll(',', '\u202f') : String(Number(value.toPrecision(3)));
}
