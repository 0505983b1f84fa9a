// Twin: ops/im2col.py, im2col. Output rows p0 .. p0 + P, of x that has its padding:
//   cols[n,c,r,s,p,q] = x[n,c, p u + r d, q v + s e]
KERNEL im2col(const real* __restrict__ x, real* __restrict__ cols, int H, int W, int R, int S,
              int u, int v, int d, int e, int p0, int P, int Q, unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int q = take(t, Q), p = take(t, P), s = take(t, S), r = take(t, R);  // t: picture and channel
        cols[i] = x[(t * H + (p0 + p) * u + r * d) * W + q * v + s * e];
    }
}

// Twin: ops/im2col.py, add_columns. Adds columns of the output rows p0 .. p0 + P to the rows
// h0 .. h0 + rows of the padded dx (H, W); each pixel adds what was read from it, in the order of (r, s).
KERNEL add_columns(const real* __restrict__ cols, real* __restrict__ dx, int H, int W, int R, int S,
                   int u, int v, int d, int e, int p0, int P, int Q, int h0, int rows, unsigned n)
{
    EACH (i, n) {
        unsigned t = i;
        int w = take(t, W), h = h0 + take(t, rows);
        real sum = dx[(t * H + h) * W + w];
        for (int r = 0; r < R; ++r) {
            int up = h - r * d, p = up / u - p0;
            if (up < 0 || up % u || p < 0 || p >= P) continue;
            for (int s = 0; s < S; ++s) {
                int left = w - s * e, q = left / v;
                if (left < 0 || left % v || q >= Q) continue;
                sum += cols[(((t * R + r) * S + s) * P + p) * Q + q];
            }
        }
        dx[(t * H + h) * W + w] = sum;
    }
}

// Twin: ops/im2col.py, im2col of maps (N, H, W, C), channels last, with every window as a row; n counts lanes:
//   rows[n,p,q,r,s,c] = x[n, p u + r d - pad_h, q v + s e - pad_w, c], 0 beside the map
KERNEL window_rows(const real* __restrict__ x, real* __restrict__ rows, int H, int W, int C, int R, int S,
                   int u, int v, int d, int e, int pad_h, int pad_w, int P, int Q, int lanes, unsigned n)
{
    by_lanes(lanes, [=](auto pack) {
        const int N = pack.N;
        EACH (i, n) {
            unsigned t = i;
            int c = N * take(t, C / N), s = take(t, S), r = take(t, R), q = take(t, Q), p = take(t, P);
            int h = p * u + r * d - pad_h, w = q * v + s * e - pad_w;
            Pack<real, N> numbers = {};
            if (inside(h, w, H, W)) numbers = brought<N>(x + ((t * H + h) * W + w) * C + c);
            put(rows + i * N, numbers);
        }
    });
}

// Twin: ops/im2col.py, col2im, likewise. Each pixel adds the windows that hold it, in the order of (r, s).
KERNEL add_window_rows(const real* __restrict__ rows, real* __restrict__ x, int H, int W, int C, int R, int S,
                       int u, int v, int d, int e, int pad_h, int pad_w, int P, int Q, int lanes, unsigned n)
{
    by_lanes(lanes, [=](auto pack) {
        const int N = pack.N;
        EACH (i, n) {
            unsigned t = i;
            int c = N * take(t, C / N), w = take(t, W) + pad_w, h = take(t, H) + pad_h;
            Pack<real, N> sum = {};
            for (int r = 0; r < R; ++r) {
                int up = h - r * d, p = up / u;
                if (up < 0 || up % u || p >= P) continue;
                for (int s = 0; s < S; ++s) {
                    int left = w - s * e, q = left / v;
                    if (left < 0 || left % v || q >= Q) continue;
                    auto numbers = brought<N>(rows + ((((t * P + p) * Q + q) * R + r) * S + s) * C + c);
                    for (int k = 0; k < N; ++k) sum.c[k] += numbers.c[k];
                }
            }
            put(x + i * N, sum);
        }
    });
}
