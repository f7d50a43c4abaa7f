// GradBench's problems with gradients written by hand, for benchmarks/gradbench.py to compare with. The definitions are
// GradBench's (github.com/gradbench/gradbench), the code is ours: the value, and behind it the way back, as one would
// write it for speed and without tools. Compiled by g++ -O3 -march=native.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

using vec = std::vector<double>;

// log of the sum of exponentials, over the largest
static double log_sum_exp(int64_t n, const double* x, double* share) {
  double most = x[0];
  for (int64_t i = 1; i < n; i++) most = std::max(most, x[i]);
  double sum = 0;
  for (int64_t i = 0; i < n; i++) sum += share[i] = std::exp(x[i] - most);
  for (int64_t i = 0; i < n; i++) share[i] /= sum;
  return most + std::log(sum);
}

extern "C" double lse(int64_t n, const double* x, double* gx) { return log_sum_exp(n, x, gx); }

// the sum of squares of what is nearest, by the centroids
extern "C" double kmeans(int64_t n, int64_t k, int64_t d, const double* points, const double* centroids, double* g) {
  std::fill(g, g + k * d, 0.0);
  double cost = 0;
  for (int64_t i = 0; i < n; i++) {
    const double* a = points + i * d;
    double closest = INFINITY;
    int64_t place = 0;
    for (int64_t j = 0; j < k; j++) {
      const double* b = centroids + j * d;
      double distance = 0;
      for (int64_t c = 0; c < d; c++) distance += (a[c] - b[c]) * (a[c] - b[c]);
      if (distance < closest) closest = distance, place = j;
    }
    cost += closest;
    for (int64_t c = 0; c < d; c++) g[place * d + c] += 2 * (centroids[place * d + c] - a[c]);
  }
  return cost;
}

// a polynomial fitted to the sign of t
extern "C" double llsq(int64_t n, int64_t m, const double* x, double* gx) {
  std::fill(gx, gx + m, 0.0);
  double sum = 0;
  for (int64_t i = 0; i < n; i++) {
    double t = -1.0 + i * 2.0 / (n - 1), rest = (t > 0) - (t < 0), power = 1;
    for (int64_t j = 0; j < m; j++) rest -= x[j] * power, power *= t;
    sum += rest * rest;
    power = 1;
    for (int64_t j = 0; j < m; j++) gx[j] -= rest * power, power *= t;
  }
  return sum / 2;
}

// Runge and Kutta's method; the last of the values by all coefficients
static void slope(int64_t n, const double* x, const double* y, double* z) {
  z[0] = x[0];
  for (int64_t i = 1; i < n; i++) z[i] = x[i] * y[i - 1];
}

static void slope_back(int64_t n, const double* x, const double* y, const double* gz, double* gx, double* gy) {
  gx[0] += gz[0];
  for (int64_t i = 1; i < n; i++) gx[i] += gz[i] * y[i - 1];
  for (int64_t i = 1; i < n; i++) gy[i - 1] += gz[i] * x[i];
}

extern "C" double ode(int64_t n, int64_t steps, const double* x, double* gx) {
  double h = 2.0 / steps;
  vec ys((steps + 1) * n), k1(n), k2(n), k3(n), k4(n), y2(n), y3(n), y4(n);
  auto stages = [&](const double* y) {
    slope(n, x, y, k1.data());
    for (int64_t i = 0; i < n; i++) y2[i] = y[i] + h * k1[i] / 2;
    slope(n, x, y2.data(), k2.data());
    for (int64_t i = 0; i < n; i++) y3[i] = y[i] + h * k2[i] / 2;
    slope(n, x, y3.data(), k3.data());
    for (int64_t i = 0; i < n; i++) y4[i] = y[i] + h * k3[i];
  };
  for (int64_t s = 0; s < steps; s++) {
    const double* y = &ys[s * n];
    stages(y);
    slope(n, x, y4.data(), k4.data());
    for (int64_t i = 0; i < n; i++) ys[(s + 1) * n + i] = y[i] + h * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]) / 6;
  }
  std::fill(gx, gx + n, 0.0);
  vec gy(n), g1(n), g2(n), g3(n), g4(n), gm(n);
  gy[n - 1] = 1;
  for (int64_t s = steps - 1; s >= 0; s--) {
    const double* y = &ys[s * n];
    stages(y);
    for (int64_t i = 0; i < n; i++) {
      g1[i] = g4[i] = h * gy[i] / 6;
      g2[i] = g3[i] = h * gy[i] / 3;
    }
    auto stage = [&](const vec& at, const vec& g, vec& before, double part) {
      std::fill(gm.begin(), gm.end(), 0.0);
      slope_back(n, x, at.data(), g.data(), gx, gm.data());
      for (int64_t i = 0; i < n; i++) gy[i] += gm[i], before[i] += part * gm[i];
    };
    stage(y4, g4, g3, h);
    stage(y3, g3, g2, h / 2);
    stage(y2, g2, g1, h / 2);
    slope_back(n, x, y, g1.data(), gx, gy.data());
  }
  return ys[steps * n + n - 1];
}

// a mixture of normals with Wishart's prior, by weights, means, logarithms of diagonals and lower triangles
extern "C" double gmm(int64_t n, int64_t k, int64_t d, const double* alpha, const double* mu, const double* q,
                      const double* l, const double* x, double gamma, int64_t m, double constant, double* ga,
                      double* gm, double* gq, double* gl) {
  int64_t size = d * (d - 1) / 2;
  std::fill(ga, ga + k, 0.0), std::fill(gm, gm + k * d, 0.0), std::fill(gq, gq + k * d, 0.0);
  std::fill(gl, gl + k * size, 0.0);
  vec diagonal(k * d), sums(k), centred(k * d), product(k * d), term(k), share(k), back(d);
  for (int64_t i = 0; i < k; i++)
    for (int64_t j = 0; j < d; j++) diagonal[i * d + j] = std::exp(q[i * d + j]), sums[i] += q[i * d + j];
  double total = 0;
  vec weights(k);
  for (int64_t p = 0; p < n; p++) {
    for (int64_t c = 0; c < k; c++) {
      double *z = &centred[c * d], *y = &product[c * d];
      for (int64_t i = 0; i < d; i++) z[i] = x[p * d + i] - mu[c * d + i];
      for (int64_t i = 0; i < d; i++) y[i] = diagonal[c * d + i] * z[i];
      const double* lower = l + c * size;
      for (int64_t i = 0; i < d; i++)
        for (int64_t j = i + 1; j < d; j++) y[j] += *lower++ * z[i];
      double squares = 0;
      for (int64_t i = 0; i < d; i++) squares += y[i] * y[i];
      term[c] = alpha[c] + sums[c] - 0.5 * squares;
    }
    total += log_sum_exp(k, term.data(), share.data());
    for (int64_t c = 0; c < k; c++) {
      weights[c] += share[c];
      const double *z = &centred[c * d], *y = &product[c * d];
      for (int64_t i = 0; i < d; i++) {
        gq[c * d + i] -= share[c] * y[i] * z[i] * diagonal[c * d + i];
        back[i] = share[c] * y[i] * diagonal[c * d + i];
      }
      double* gradient = gl + c * size;
      const double* lower = l + c * size;
      for (int64_t i = 0; i < d; i++)
        for (int64_t j = i + 1; j < d; j++) {
          *gradient++ -= share[c] * y[j] * z[i];
          back[i] += share[c] * y[j] * *lower++;
        }
      for (int64_t i = 0; i < d; i++) gm[c * d + i] += back[i];
    }
  }
  double prior = 0, all = log_sum_exp(k, alpha, share.data());
  for (int64_t c = 0; c < k; c++) {
    ga[c] = weights[c] - n * share[c];
    double squares = 0;
    for (int64_t i = 0; i < d; i++) squares += diagonal[c * d + i] * diagonal[c * d + i];
    for (int64_t i = 0; i < size; i++) squares += l[c * size + i] * l[c * size + i];
    prior += 0.5 * gamma * gamma * squares - m * sums[c];
    for (int64_t i = 0; i < d; i++)
      gq[c * d + i] += weights[c] - gamma * gamma * diagonal[c * d + i] * diagonal[c * d + i] + m;
    for (int64_t i = 0; i < size; i++) gl[c * size + i] -= gamma * gamma * l[c * size + i];
  }
  return constant + total - n * all - prior;
}

// ADBench's LSTM, whose weights are diagonal: by them, and by those of what comes in and goes out
extern "C" double lstm(int64_t layers, int64_t chars, int64_t b, const double* main, const double* extra,
                       const double* state, const double* sequence, double* gmain, double* gextra) {
  int64_t steps = chars - 1, size = layers * b;
  std::fill(gmain, gmain + 8 * size, 0.0), std::fill(gextra, gextra + 3 * b, 0.0);
  vec hidden((steps + 1) * size), cell((steps + 1) * size), gates(5 * steps * size), share(b), top(b);
  for (int64_t k = 0; k < layers; k++)
    for (int64_t i = 0; i < b; i++)
      hidden[k * b + i] = state[2 * k * b + i], cell[k * b + i] = state[(2 * k + 1) * b + i];
  vec shares(steps * b), golds(steps);
  double total = 0;
  for (int64_t t = 0; t < steps; t++) {
    for (int64_t i = 0; i < b; i++) top[i] = sequence[t * b + i] * extra[i];
    for (int64_t k = 0; k < layers; k++) {
      const double *w = main + 8 * k * b, *v = w + 4 * b;
      const double *h = &hidden[t * size + k * b], *c = &cell[t * size + k * b];
      double *hn = &hidden[(t + 1) * size + k * b], *cn = &cell[(t + 1) * size + k * b];
      double* g = &gates[5 * (t * size + k * b)];
      for (int64_t i = 0; i < b; i++) {
        double forget = 1 / (1 + std::exp(-(top[i] * w[i] + v[i])));
        double in = 1 / (1 + std::exp(-(h[i] * w[b + i] + v[b + i])));
        double out = 1 / (1 + std::exp(-(top[i] * w[2 * b + i] + v[2 * b + i])));
        double change = std::tanh(h[i] * w[3 * b + i] + v[3 * b + i]);
        cn[i] = c[i] * forget + in * change;
        double squashed = std::tanh(cn[i]);
        hn[i] = out * squashed;
        g[i] = forget, g[b + i] = in, g[2 * b + i] = out, g[3 * b + i] = change, g[4 * b + i] = squashed;
      }
      for (int64_t i = 0; i < b; i++) top[i] = hn[i];
    }
    double sum = 2, gold = 0, dot = 0;
    for (int64_t i = 0; i < b; i++) {
      double y = top[i] * extra[b + i] + extra[2 * b + i];
      sum += shares[t * b + i] = std::exp(y);
      gold += sequence[(t + 1) * b + i];
      dot += sequence[(t + 1) * b + i] * y;
    }
    for (int64_t i = 0; i < b; i++) shares[t * b + i] /= sum;
    golds[t] = gold;
    total += dot - gold * std::log(sum);
  }
  vec gh(size), gc(size), gtop(b);
  double scale = -1.0 / (steps * b);
  for (int64_t t = steps - 1; t >= 0; t--) {
    const double* last = &hidden[(t + 1) * size + (layers - 1) * b];
    for (int64_t i = 0; i < b; i++) {
      double gy = scale * (sequence[(t + 1) * b + i] - golds[t] * shares[t * b + i]);
      gextra[b + i] += gy * last[i];
      gextra[2 * b + i] += gy;
      gtop[i] = gy * extra[b + i];
    }
    for (int64_t k = layers - 1; k >= 0; k--) {
      const double *w = main + 8 * k * b, *g = &gates[5 * (t * size + k * b)];
      const double *h = &hidden[t * size + k * b], *c = &cell[t * size + k * b];
      double *gw = gmain + 8 * k * b, *gv = gw + 4 * b;
      for (int64_t i = 0; i < b; i++) {
        double forget = g[i], in = g[b + i], out = g[2 * b + i], change = g[3 * b + i], squashed = g[4 * b + i];
        double below = k ? hidden[(t + 1) * size + (k - 1) * b + i] : sequence[t * b + i] * extra[i];
        double ghn = gh[k * b + i] + gtop[i], gcn = gc[k * b + i] + ghn * out * (1 - squashed * squashed);
        double gout = ghn * squashed * out * (1 - out), gforget = gcn * c[i] * forget * (1 - forget);
        double gin = gcn * change * in * (1 - in), gchange = gcn * in * (1 - change * change);
        gc[k * b + i] = gcn * forget;
        gw[i] += gforget * below, gv[i] += gforget;
        gw[b + i] += gin * h[i], gv[b + i] += gin;
        gw[2 * b + i] += gout * below, gv[2 * b + i] += gout;
        gw[3 * b + i] += gchange * h[i], gv[3 * b + i] += gchange;
        gh[k * b + i] = gin * w[b + i] + gchange * w[3 * b + i];
        gtop[i] = gforget * w[i] + gout * w[2 * b + i];
      }
    }
    for (int64_t i = 0; i < b; i++) gextra[i] += gtop[i] * sequence[t * b + i];
  }
  return scale * total;
}

// bundle adjustment: errors of what cameras see, and for each the 2 x 15 block of the Jacobian
extern "C" void ba(int64_t count, const double* cams, const double* points, const double* weights,
                   const int64_t* seen, const double* feats, double* errors, double* blocks) {
  for (int64_t o = 0; o < count; o++) {
    const double *cam = cams + 11 * seen[2 * o], *p = points + 3 * seen[2 * o + 1], *r = cam;
    double weight = weights[o], v[3], a[3], turned[3], axis[3];
    for (int i = 0; i < 3; i++) v[i] = p[i] - cam[3 + i];
    double theta = std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]), s = std::sin(theta), c = std::cos(theta);
    for (int i = 0; i < 3; i++) axis[i] = r[i] / theta;
    a[0] = axis[1] * v[2] - axis[2] * v[1];
    a[1] = axis[2] * v[0] - axis[0] * v[2];
    a[2] = axis[0] * v[1] - axis[1] * v[0];
    double along = axis[0] * v[0] + axis[1] * v[1] + axis[2] * v[2], part = along * (1 - c);
    for (int i = 0; i < 3; i++) turned[i] = v[i] * c + a[i] * s + axis[i] * part;
    double u[2] = {turned[0] / turned[2], turned[1] / turned[2]};
    double square = u[0] * u[0] + u[1] * u[1];
    double bend = 1 + cam[9] * square + cam[10] * square * square;
    for (int e = 0; e < 2; e++) {
      double seen_at = u[e] * bend * cam[6] + cam[7 + e] - feats[2 * o + e];
      errors[2 * o + e] = weight * seen_at;
      double* g = blocks + 30 * o + 15 * e;
      std::fill(g, g + 15, 0.0);
      g[14] = seen_at;
      g[7 + e] = weight;
      g[6] = weight * u[e] * bend;
      double gd = weight * cam[6], gbend = gd * u[e], gu[2] = {0, 0};
      g[9] = gbend * square;
      g[10] = gbend * square * square;
      double gsquare = gbend * (cam[9] + 2 * cam[10] * square);
      gu[e] = gd * bend;
      for (int i = 0; i < 2; i++) gu[i] += 2 * gsquare * u[i];
      double gt[3] = {gu[0] / turned[2], gu[1] / turned[2], -(gu[0] * u[0] + gu[1] * u[1]) / turned[2]};
      double ga[3], gv[3], gaxis[3], gs = 0, gc = 0, gpart = 0;
      for (int i = 0; i < 3; i++) {
        gv[i] = gt[i] * c, ga[i] = gt[i] * s, gaxis[i] = gt[i] * part;
        gs += gt[i] * a[i], gc += gt[i] * v[i], gpart += gt[i] * axis[i];
      }
      gc -= gpart * along;
      double galong = gpart * (1 - c);
      for (int i = 0; i < 3; i++) gaxis[i] += galong * v[i], gv[i] += galong * axis[i];
      for (int i = 0; i < 3; i++) {
        int j = (i + 1) % 3, k = (i + 2) % 3;
        gaxis[j] += ga[i] * v[k], gaxis[k] -= ga[i] * v[j];
        gv[k] += ga[i] * axis[j], gv[j] -= ga[i] * axis[k];
      }
      double inner = gaxis[0] * axis[0] + gaxis[1] * axis[1] + gaxis[2] * axis[2];
      double gtheta = gs * c - gc * s;
      for (int i = 0; i < 3; i++) {
        g[i] = (gaxis[i] - inner * axis[i]) / theta + gtheta * axis[i];
        g[3 + i] = -gv[i];
        g[11 + i] = gv[i];
      }
    }
  }
}

// the determinant by minors of the first rows, whose columns are the bits of a number, along their last rows
extern "C" double det(int64_t n, const double* a, double* ga) {
  int64_t all = int64_t(1) << n;
  vec minors(all), g(all);
  minors[0] = 1;
  for (int64_t columns = 1; columns < all; columns++) {
    const double* row = a + (__builtin_popcountll(columns) - 1) * n;
    double total = 0;
    for (int64_t rest = columns; rest; rest &= rest - 1)
      total = row[__builtin_ctzll(rest)] * minors[columns - (rest & -rest)] - total;
    minors[columns] = total;
  }
  std::fill(ga, ga + n * n, 0.0);
  g[all - 1] = 1;
  for (int64_t columns = all - 1; columns > 0; columns--) {
    int64_t count = __builtin_popcountll(columns);
    const double* row = a + (count - 1) * n;
    double *grow = ga + (count - 1) * n, back = count % 2 ? g[columns] : -g[columns];
    for (int64_t rest = columns; rest; rest &= rest - 1) {
      int64_t j = __builtin_ctzll(rest), less = columns - (rest & -rest);
      grow[j] += back * minors[less], g[less] += back * row[j];
      back = -back;
    }
  }
  return minors[all - 1];
}

// hand tracking: how far points are from vertices of a hand, and by each of the 26 numbers that hold it
using matrix = std::array<double, 16>;

static matrix times(const double* a, const double* b) {
  matrix c{};
  for (int i = 0; i < 4; i++)
    for (int k = 0; k < 4; k++)
      for (int j = 0; j < 4; j++) c[4 * i + j] += a[4 * i + k] * b[4 * k + j];
  return c;
}

// Rodrigues' formula, and its derivatives by the three numbers
static void turning(const double* r, double turn[9], double by[3][9]) {
  std::fill(turn, turn + 9, 0.0), std::fill(by[0], by[0] + 27, 0.0);
  turn[0] = turn[4] = turn[8] = 1;
  double norm = std::sqrt(r[0] * r[0] + r[1] * r[1] + r[2] * r[2]);
  if (norm < 1e-4) return;
  double a[3] = {r[0] / norm, r[1] / norm, r[2] / norm}, s = std::sin(norm), c = std::cos(norm);
  double cross[9] = {0, -a[2], a[1], a[2], 0, -a[0], -a[1], a[0], 0};
  for (int i = 0; i < 3; i++)
    for (int j = 0; j < 3; j++) turn[3 * i + j] = a[i] * a[j] * (1 - c) + (i == j) * c + s * cross[3 * i + j];
  for (int k = 0; k < 3; k++) {
    double d[3];
    for (int i = 0; i < 3; i++) d[i] = ((i == k) - a[i] * a[k]) / norm;
    double turned[9] = {0, -d[2], d[1], d[2], 0, -d[0], -d[1], d[0], 0};
    for (int i = 0; i < 3; i++)
      for (int j = 0; j < 3; j++)
        by[k][3 * i + j] = (d[i] * a[j] + a[i] * d[j]) * (1 - c) + s * a[k] * (a[i] * a[j] - (i == j)) +
                           c * a[k] * cross[3 * i + j] + s * turned[3 * i + j];
  }
}

extern "C" void ht(int64_t bones, int64_t vertices, int64_t count, const double* theta, const int64_t* parents,
                   const double* relatives, const double* inverses, const double* base, const double* weights,
                   double mirror, const int64_t* seen, const double* points, double* errors, double* jacobian) {
  std::vector<matrix> absolutes(bones);
  std::vector<std::vector<std::pair<int64_t, matrix>>> changes(bones);  // of a bone, by the angles above it
  vec skin(3 * vertices), changed(20 * 3 * vertices);
  auto add = [&](const matrix& t, int64_t b, double* sum) {
    const double* w = weights + b * vertices;
    const double *x = base, *y = x + vertices, *z = y + vertices, *one = z + vertices;
    for (int i = 0; i < 3; i++) {
      double t0 = t[4 * i], t1 = t[4 * i + 1], t2 = t[4 * i + 2], t3 = t[4 * i + 3], *out = sum + i * vertices;
      for (int64_t v = 0; v < vertices; v++) out[v] += w[v] * (t0 * x[v] + t1 * y[v] + t2 * z[v] + t3 * one[v]);
    }
  };
  for (int64_t b = 0; b < bones; b++) {
    int64_t joint = (b + 3) % 4, first = 6 + (b - 1) / 4 * 4;
    bool bends = b > 0 && b < bones - 1 && joint > 0;
    int64_t place = joint == 1 ? first : first + joint;
    double x = bends ? theta[place] : 0, z = bends && joint == 1 ? theta[first + 1] : 0;
    double sx = std::sin(x), cx = std::cos(x), sz = std::sin(z), cz = std::cos(z);
    matrix bend = {cz, -sz * cx, sz * sx, 0, sz, cz * cx, -cz * sx, 0, 0, sx, cx, 0, 0, 0, 0, 1};
    matrix above = {1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1}, relative = times(relatives + 16 * b, bend.data());
    if (parents[b] >= 0) {
      above = absolutes[parents[b]];
      for (auto& [k, change] : changes[parents[b]])
        changes[b].emplace_back(k, times(change.data(), relative.data()));
    }
    absolutes[b] = times(above.data(), relative.data());
    if (bends) {
      matrix stem = times(above.data(), relatives + 16 * b);
      matrix by_x = {0, sz * sx, sz * cx, 0, 0, -cz * sx, -cz * cx, 0, 0, cx, -sx, 0, 0, 0, 0, 0};
      changes[b].emplace_back(place, times(stem.data(), by_x.data()));
      matrix by_z = {-sz, -cz * cx, cz * sx, 0, cz, -sz * cx, sz * sx, 0, 0, 0, 0, 0, 0, 0, 0, 0};
      if (joint == 1) changes[b].emplace_back(first + 1, times(stem.data(), by_z.data()));
    }
    add(times(absolutes[b].data(), inverses + 16 * b), b, skin.data());
    for (auto& [k, change] : changes[b])
      add(times(change.data(), inverses + 16 * b), b, &changed[(k - 6) * 3 * vertices]);
  }
  double turn[9], by[3][9];
  turning(theta, turn, by);
  auto turned = [&](const double* m, const double* at, double* out, int64_t v) {
    double x = mirror * at[v], y = at[vertices + v], z = at[2 * vertices + v];
    for (int i = 0; i < 3; i++) out[i] = -(m[3 * i] * x + m[3 * i + 1] * y + m[3 * i + 2] * z);
  };
  for (int64_t p = 0; p < count; p++) {
    turned(turn, skin.data(), errors + 3 * p, seen[p]);
    for (int i = 0; i < 3; i++) errors[3 * p + i] += points[3 * p + i] - theta[3 + i];
  }
  for (int64_t k = 0; k < 26; k++)
    for (int64_t p = 0; p < count; p++) {
      double* out = jacobian + 3 * (k * count + p);
      if (k < 3) turned(by[k], skin.data(), out, seen[p]);
      else if (k < 6) out[0] = -(k == 3), out[1] = -(k == 4), out[2] = -(k == 5);
      else turned(turn, &changed[(k - 6) * 3 * vertices], out, seen[p]);
    }
}
