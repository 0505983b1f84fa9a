// Arrays are (N C, H, W, 1), or (N, H, W, C) where channels come last in memory: the innermost size is I.
// A thread does `lanes` neighbours of it, see by_lanes; n counts those.

// Twin: ops/maxpool2d.py, forward. A NaN in the window is its maximum, as for NumPy.
KERNEL max_pool(const real* __restrict__ x, real* __restrict__ y, unsigned char* __restrict__ switches,
                int H, int W, int I, int R, int S, int u, int v, int pad_h, int pad_w, int P, int Q,
                int lanes, unsigned n)
{
    by_lanes(lanes, [=](auto pack) {
        const int N = pack.N;
        EACH (i, n) {
            unsigned t = i;
            int inner = N * take(t, I / N), q = take(t, Q), p = take(t, P);
            Pack<real, N> best = {};
            Pack<unsigned char, N> winner;
            for (int k = 0; k < N; ++k) winner.c[k] = 255;
            bool first = true;
            for (int r = 0; r < R; ++r)
                for (int s = 0; s < S; ++s) {
                    int h = p * u + r - pad_h, w = q * v + s - pad_w;
                    if (!inside(h, w, H, W)) continue;
                    auto value = brought<N>(x + ((t * H + h) * W + w) * I + inner);
                    for (int k = 0; k < N; ++k)
                        if (first || value.c[k] > best.c[k]) {  // strictly: the first of equals stays
                            best.c[k] = value.c[k];
                            winner.c[k] = r * S + s;
                        } else if (value.c[k] != value.c[k]) best.c[k] = value.c[k];
                    first = false;
                }
            put(y + i * N, best);
            put(switches + i * N, winner);
        }
    });
}

// Twin: ops/maxpool2d.py, unpool; overlap is the place of the rule in OVERLAPS: sum, max, overwrite.
// Each pixel asks the windows that hold it, in row-major order.
KERNEL unpool(const real* __restrict__ y, const unsigned char* __restrict__ switches,
              real* __restrict__ x, int H, int W, int I, int R, int S, int u, int v, int pad_h,
              int pad_w, int P, int Q, int overlap, int lanes, unsigned n)
{
    by_lanes(lanes, [=](auto pack) {
        const int N = pack.N;
        EACH (i, n) {
            unsigned t = i;
            int inner = N * take(t, I / N), w = take(t, W) + pad_w, h = take(t, H) + pad_h;
            Pack<real, N> found = {};
            for (int p = h < R ? 0 : (h - R) / u + 1; p < P && p * u <= h; ++p)
                for (int q = w < S ? 0 : (w - S) / v + 1; q < Q && q * v <= w; ++q) {
                    unsigned window = ((t * P + p) * Q + q) * I + inner;
                    int here = (h - p * u) * S + (w - q * v);
                    auto value = brought<N>(y + window);
                    auto winner = brought<N>(switches + window);
                    for (int k = 0; k < N; ++k) {
                        if (winner.c[k] != here) continue;
                        if (overlap == 0) found.c[k] += value.c[k];
                        else if (overlap == 2 || fabs(value.c[k]) > fabs(found.c[k])) found.c[k] = value.c[k];
                    }
                }
            put(x + i * N, found);
        }
    });
}

// Twin: ops/avgpool2d.py, forward: the rows of a window first, then its columns; count is (P, Q).
KERNEL average_pool(const real* __restrict__ x, const real* __restrict__ count, real* __restrict__ y,
                    int H, int W, int I, int R, int S, int u, int v, int pad_h, int pad_w, int P,
                    int Q, int lanes, unsigned n)
{
    by_lanes(lanes, [=](auto pack) {
        const int N = pack.N;
        EACH (i, n) {
            unsigned t = i;
            int inner = N * take(t, I / N), q = take(t, Q), p = take(t, P);
            Pack<real, N> sum = {};
            for (int s = 0; s < S; ++s) {
                Pack<real, N> column = {};
                for (int r = 0; r < R; ++r) {
                    int h = p * u + r - pad_h, w = q * v + s - pad_w;
                    if (!inside(h, w, H, W)) continue;
                    auto value = brought<N>(x + ((t * H + h) * W + w) * I + inner);
                    for (int k = 0; k < N; ++k) column.c[k] += value.c[k];
                }
                for (int k = 0; k < N; ++k) sum.c[k] += column.c[k];
            }
            for (int k = 0; k < N; ++k) sum.c[k] /= count[p * Q + q];
            put(y + i * N, sum);
        }
    });
}

// Twin: ops/avgpool2d.py, backward, in the same order: r and s rise, so p and q fall.
KERNEL average_unpool(const real* __restrict__ dy, const real* __restrict__ count,
                      real* __restrict__ dx, int H, int W, int I, int R, int S, int u, int v,
                      int pad_h, int pad_w, int P, int Q, int lanes, unsigned n)
{
    by_lanes(lanes, [=](auto pack) {
        const int N = pack.N;
        EACH (i, n) {
            unsigned t = i;
            int inner = N * take(t, I / N), w = take(t, W) + pad_w, h = take(t, H) + pad_h;
            Pack<real, N> sum = {};
            for (int q = min(w / v, Q - 1); q >= 0 && q * v + S > w; --q) {
                Pack<real, N> column = {};
                for (int p = min(h / u, P - 1); p >= 0 && p * u + R > h; --p) {
                    auto value = brought<N>(dy + ((t * P + p) * Q + q) * I + inner);
                    for (int k = 0; k < N; ++k) column.c[k] += value.c[k] / count[p * Q + q];
                }
                for (int k = 0; k < N; ++k) sum.c[k] += column.c[k];
            }
            put(dx + i * N, sum);
        }
    });
}
