// Arrays are (N C, H, W, 1), or (N, H, W, C) where channels come last in memory: the innermost size is I.

// Twin: ops/maxpool2d.py, forward. A NaN in the window is its maximum, as for NumPy.
KERNEL max_pool(const real* __restrict__ x, real* __restrict__ y, unsigned char* __restrict__ switches,
                int H, int W, int I, int R, int S, int u, int v, int pad_h, int pad_w, int P, int Q,
                unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int inner = take(t, I), q = take(t, Q), p = take(t, P);
        real best = 0;
        int winner = -1;
        for (int r = 0; r < R; ++r)
            for (int s = 0; s < S; ++s) {
                int h = p * u + r - pad_h, w = q * v + s - pad_w;
                if (!inside(h, w, H, W)) continue;
                real value = x[((t * H + h) * W + w) * I + inner];
                if (winner < 0 || value > best) {  // strictly: the first of equals stays
                    best = value;
                    winner = r * S + s;
                } else if (value != value) best = value;
            }
        y[i] = best;
        switches[i] = winner;
    }
}

// Twin: ops/maxpool2d.py, unpool; overlap is the place of the rule in OVERLAPS: sum, max, overwrite.
// Each pixel asks the windows that hold it, in row-major order.
KERNEL unpool(const real* __restrict__ y, const unsigned char* __restrict__ switches,
              real* __restrict__ x, int H, int W, int I, int R, int S, int u, int v, int pad_h,
              int pad_w, int P, int Q, int overlap, unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int inner = take(t, I), w = take(t, W) + pad_w, h = take(t, H) + pad_h;
        real found = 0;
        for (int p = h < R ? 0 : (h - R) / u + 1; p < P && p * u <= h; ++p)
            for (int q = w < S ? 0 : (w - S) / v + 1; q < Q && q * v <= w; ++q) {
                unsigned window = ((t * P + p) * Q + q) * I + inner;
                if (switches[window] != (h - p * u) * S + (w - q * v)) continue;
                real value = y[window];
                if (overlap == 0) found += value;
                else if (overlap == 2 || fabs(value) > fabs(found)) found = value;
            }
        x[i] = found;
    }
}

// Twin: ops/avgpool2d.py, forward: the rows of a window first, then its columns; count is (P, Q).
KERNEL average_pool(const real* __restrict__ x, const real* __restrict__ count, real* __restrict__ y,
                    int H, int W, int I, int R, int S, int u, int v, int pad_h, int pad_w, int P,
                    int Q, unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int inner = take(t, I), q = take(t, Q), p = take(t, P);
        real sum = 0;
        for (int s = 0; s < S; ++s) {
            real column = 0;
            for (int r = 0; r < R; ++r) {
                int h = p * u + r - pad_h, w = q * v + s - pad_w;
                if (inside(h, w, H, W)) column += x[((t * H + h) * W + w) * I + inner];
            }
            sum += column;
        }
        y[i] = sum / count[p * Q + q];
    }
}

// Twin: ops/avgpool2d.py, backward, in the same order: r and s rise, so p and q fall.
KERNEL average_unpool(const real* __restrict__ dy, const real* __restrict__ count,
                      real* __restrict__ dx, int H, int W, int I, int R, int S, int u, int v,
                      int pad_h, int pad_w, int P, int Q, unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int inner = take(t, I), w = take(t, W) + pad_w, h = take(t, H) + pad_h;
        real sum = 0;
        for (int q = min(w / v, Q - 1); q >= 0 && q * v + S > w; --q) {
            real column = 0;
            for (int p = min(h / u, P - 1); p >= 0 && p * u + R > h; --p)
                column += dy[((t * P + p) * Q + q) * I + inner] / count[p * Q + q];
            sum += column;
        }
        dx[i] = sum;
    }
}
