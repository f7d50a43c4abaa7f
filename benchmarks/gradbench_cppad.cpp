// GradBench's problems by CppAD: the functions as they are defined, of numbers that record what happens to them. The
// names and arguments are those of gradbench.cpp. Compiled by g++ -O3 -march=native with CppAD's headers.
//
// Where nothing but the numbers depends on the arguments, the recording is made once and optimised, and each call runs
// it forth and back; where a choice depends on them (the largest, the nearest), each call records again.

#include <cppad/cppad.hpp>

#include <array>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <vector>

using number = CppAD::AD<double>;
using numbers = std::vector<number>;
using doubles = std::vector<double>;
using recording = CppAD::ADFun<double>;

// one argument of a function: how many numbers, where they are, and where their gradient goes
struct argument {
  int64_t size;
  const double* values;
  double* gradient;
};

static doubles gathered(std::initializer_list<argument> arguments) {
  doubles all;
  for (const argument& a : arguments) all.insert(all.end(), a.values, a.values + a.size);
  return all;
}

template <class F>
static void record(recording& tape, const doubles& x, F f) {
  numbers in(x.begin(), x.end());
  CppAD::Independent(in);
  numbers out = f(in.data());
  tape.Dependent(in, out);
}

// the value and the gradients of a function of one number; recorded once if `once` is given
template <class F>
static double differentiated(std::unique_ptr<recording>* once, std::initializer_list<argument> arguments, F f) {
  doubles x = gathered(arguments), weight{1};
  recording fresh, *tape = &fresh;
  double value;
  auto wrapped = [&](const number* in) { return numbers{f(in)}; };
  if (once == nullptr) {
    record(fresh, x, wrapped);
    value = fresh.Forward(0, x)[0];
  } else {
    if (!*once) {
      once->reset(new recording);
      record(**once, x, wrapped);
      (*once)->optimize();
    }
    tape = once->get();
    value = tape->Forward(0, x)[0];
  }
  doubles back = tape->Reverse(1, weight);
  const double* from = back.data();
  for (const argument& a : arguments) {
    std::copy(from, from + a.size, a.gradient);
    from += a.size;
  }
  return value;
}

static number log_sum_exp(int64_t n, const number* x) {
  number most = x[0], sum = 0;
  for (int64_t i = 1; i < n; i++)
    if (x[i] > most) most = x[i];
  for (int64_t i = 0; i < n; i++) sum += exp(x[i] - most);
  return most + log(sum);
}

extern "C" double lse(int64_t n, const double* x, double* gx) {
  return differentiated(nullptr, {{n, x, gx}}, [&](const number* in) { return log_sum_exp(n, in); });
}

extern "C" double kmeans(int64_t n, int64_t k, int64_t d, const double* points, const double* centroids, double* g) {
  return differentiated(nullptr, {{k * d, centroids, g}}, [&](const number* in) {
    number cost = 0;
    for (int64_t i = 0; i < n; i++) {
      number closest = INFINITY;
      for (int64_t j = 0; j < k; j++) {
        number distance = 0;
        for (int64_t c = 0; c < d; c++) {
          number difference = points[i * d + c] - in[j * d + c];
          distance += difference * difference;
        }
        if (distance < closest) closest = distance;
      }
      cost += closest;
    }
    return cost;
  });
}

extern "C" double llsq(int64_t n, int64_t m, const double* x, double* gx) {
  static std::unique_ptr<recording> tape;
  return differentiated(&tape, {{m, x, gx}}, [&](const number* in) {
    number sum = 0;
    for (int64_t i = 0; i < n; i++) {
      double t = -1.0 + i * 2.0 / (n - 1), power = 1;
      number rest = double((t > 0) - (t < 0));
      for (int64_t j = 0; j < m; j++) rest -= in[j] * power, power *= t;
      sum += rest * rest;
    }
    return sum / 2;
  });
}

extern "C" double ode(int64_t n, int64_t steps, const double* x, double* gx) {
  static std::unique_ptr<recording> tape;
  return differentiated(&tape, {{n, x, gx}}, [&](const number* in) {
    double h = 2.0 / steps;
    numbers y(n), k1(n), k2(n), k3(n), k4(n), at(n);
    auto slope = [&](const numbers& from, numbers& to) {
      to[0] = in[0];
      for (int64_t i = 1; i < n; i++) to[i] = in[i] * from[i - 1];
    };
    for (int64_t s = 0; s < steps; s++) {
      slope(y, k1);
      for (int64_t i = 0; i < n; i++) at[i] = y[i] + h / 2 * k1[i];
      slope(at, k2);
      for (int64_t i = 0; i < n; i++) at[i] = y[i] + h / 2 * k2[i];
      slope(at, k3);
      for (int64_t i = 0; i < n; i++) at[i] = y[i] + h * k3[i];
      slope(at, k4);
      for (int64_t i = 0; i < n; i++) y[i] += h / 6 * (k1[i] + 2 * k2[i] + 2 * k3[i] + k4[i]);
    }
    return y[n - 1];
  });
}

extern "C" double gmm(int64_t n, int64_t k, int64_t d, const double* alpha, const double* mu, const double* q,
                      const double* l, const double* x, double gamma, int64_t m, double constant, double* ga,
                      double* gm, double* gq, double* gl) {
  int64_t size = d * (d - 1) / 2;
  std::initializer_list<argument> given = {{k, alpha, ga}, {k * d, mu, gm}, {k * d, q, gq}, {k * size, l, gl}};
  return differentiated(nullptr, given, [&](const number* in) {
    const number *alphas = in, *means = in + k, *logs = means + k * d, *lowers = logs + k * d;
    numbers diagonal(k * d), sums(k, number(0)), term(k), product(d), centred(d);
    for (int64_t i = 0; i < k; i++)
      for (int64_t j = 0; j < d; j++) diagonal[i * d + j] = exp(logs[i * d + j]), sums[i] += logs[i * d + j];
    number total = 0, prior = 0;
    for (int64_t p = 0; p < n; p++) {
      for (int64_t c = 0; c < k; c++) {
        const number* lower = lowers + c * size;
        for (int64_t i = 0; i < d; i++) centred[i] = x[p * d + i] - means[c * d + i];
        for (int64_t i = 0; i < d; i++) product[i] = diagonal[c * d + i] * centred[i];
        for (int64_t i = 0; i < d; i++)
          for (int64_t j = i + 1; j < d; j++) product[j] += *lower++ * centred[i];
        number squares = 0;
        for (int64_t i = 0; i < d; i++) squares += product[i] * product[i];
        term[c] = alphas[c] + sums[c] - 0.5 * squares;
      }
      total += log_sum_exp(k, term.data());
    }
    for (int64_t c = 0; c < k; c++) {
      number squares = 0;
      for (int64_t i = 0; i < d; i++) squares += diagonal[c * d + i] * diagonal[c * d + i];
      for (int64_t i = 0; i < size; i++) squares += lowers[c * size + i] * lowers[c * size + i];
      prior += 0.5 * gamma * gamma * squares - double(m) * sums[c];
    }
    return number(constant + total - double(n) * log_sum_exp(k, alphas) - prior);
  });
}

extern "C" double lstm(int64_t layers, int64_t chars, int64_t b, const double* main, const double* extra,
                       const double* state, const double* sequence, double* gmain, double* gextra) {
  static std::unique_ptr<recording> tape;
  return differentiated(&tape, {{8 * layers * b, main, gmain}, {3 * b, extra, gextra}}, [&](const number* in) {
    const number* ends = in + 8 * layers * b;
    numbers hidden(layers * b), cell(layers * b), top(b);
    for (int64_t k = 0; k < layers; k++)
      for (int64_t i = 0; i < b; i++)
        hidden[k * b + i] = state[2 * k * b + i], cell[k * b + i] = state[(2 * k + 1) * b + i];
    number total = 0;
    for (int64_t t = 0; t < chars - 1; t++) {
      for (int64_t i = 0; i < b; i++) top[i] = sequence[t * b + i] * ends[i];
      for (int64_t k = 0; k < layers; k++) {
        const number *w = in + 8 * k * b, *v = w + 4 * b;
        for (int64_t i = 0; i < b; i++) {
          number &h = hidden[k * b + i], &c = cell[k * b + i];
          number forget = 1.0 / (1.0 + exp(-(top[i] * w[i] + v[i])));
          number taken = 1.0 / (1.0 + exp(-(h * w[b + i] + v[b + i])));
          number given = 1.0 / (1.0 + exp(-(top[i] * w[2 * b + i] + v[2 * b + i])));
          c = c * forget + taken * tanh(h * w[3 * b + i] + v[3 * b + i]);
          top[i] = h = given * tanh(c);
        }
      }
      number sum = 2, dot = 0;
      double gold = 0;
      for (int64_t i = 0; i < b; i++) {
        number y = top[i] * ends[b + i] + ends[2 * b + i];
        sum += exp(y);
        gold += sequence[(t + 1) * b + i];
        dot += sequence[(t + 1) * b + i] * y;
      }
      total += dot - gold * log(sum);
    }
    return number(-total / double((chars - 1) * b));
  });
}

extern "C" void ba(int64_t count, const double* cams, const double* points, const double* weights,
                   const int64_t* seen, const double* feats, double* errors, double* blocks) {
  static std::unique_ptr<recording> tape;  // of one observation: camera, point, weight, and where it was seen
  doubles x(17), weight(2);
  for (int64_t o = 0; o < count; o++) {
    std::copy_n(cams + 11 * seen[2 * o], 11, x.begin());
    std::copy_n(points + 3 * seen[2 * o + 1], 3, x.begin() + 11);
    x[14] = weights[o], x[15] = feats[2 * o], x[16] = feats[2 * o + 1];
    if (!tape) {
      tape.reset(new recording);
      record(*tape, x, [](const number* in) {
        std::array<number, 3> v, r, turned;
        for (int i = 0; i < 3; i++) v[i] = in[11 + i] - in[3 + i];
        number theta = sqrt(in[0] * in[0] + in[1] * in[1] + in[2] * in[2]), s = sin(theta), c = cos(theta);
        for (int i = 0; i < 3; i++) r[i] = in[i] / theta;
        number part = (r[0] * v[0] + r[1] * v[1] + r[2] * v[2]) * (1.0 - c);
        for (int i = 0; i < 3; i++) {
          int j = (i + 1) % 3, k = (i + 2) % 3;
          turned[i] = v[i] * c + (r[j] * v[k] - r[k] * v[j]) * s + r[i] * part;
        }
        number u[2] = {turned[0] / turned[2], turned[1] / turned[2]}, square = u[0] * u[0] + u[1] * u[1];
        number bend = 1.0 + in[9] * square + in[10] * square * square;
        numbers out(2);
        for (int e = 0; e < 2; e++) out[e] = in[14] * (u[e] * bend * in[6] + in[7 + e] - in[15 + e]);
        return out;
      });
      tape->optimize();
    }
    doubles found = tape->Forward(0, x);
    for (int e = 0; e < 2; e++) {
      errors[2 * o + e] = found[e];
      weight[e] = 1, weight[1 - e] = 0;
      std::copy_n(tape->Reverse(1, weight).begin(), 15, blocks + 30 * o + 15 * e);
    }
  }
}

extern "C" double det(int64_t n, const double* a, double* ga) {
  static std::unique_ptr<recording> tape;
  return differentiated(&tape, {{n * n, a, ga}}, [&](const number* in) {
    numbers minors(int64_t(1) << n);
    minors[0] = 1;
    for (int64_t columns = 1; columns < int64_t(minors.size()); columns++) {
      const number* row = in + (__builtin_popcountll(columns) - 1) * n;
      number total = 0;
      for (int64_t rest = columns; rest; rest &= rest - 1)
        total = row[__builtin_ctzll(rest)] * minors[columns - (rest & -rest)] - total;
      minors[columns] = total;
    }
    return minors.back();
  });
}

// of numbers, and of what does not depend on them
template <class A, class B>
static std::array<number, 16> times(const A& a, const B& b) {
  std::array<number, 16> c;
  for (int i = 0; i < 4; i++)
    for (int j = 0; j < 4; j++) {
      c[4 * i + j] = a[4 * i] * b[j];
      for (int k = 1; k < 4; k++) c[4 * i + j] += a[4 * i + k] * b[4 * k + j];
    }
  return c;
}

extern "C" void ht(int64_t bones, int64_t vertices, int64_t count, const double* theta, const int64_t* parents,
                   const double* relatives, const double* inverses, const double* base, const double* weights,
                   double mirror, const int64_t* seen, const double* points, double* errors, double* jacobian) {
  static std::unique_ptr<recording> tape;
  const int64_t all = 26;
  doubles x(theta, theta + all);
  if (!tape) {
    tape.reset(new recording);
    record(*tape, x, [&](const number* in) {
      std::vector<std::array<number, 16>> absolutes(bones);
      numbers skin(3 * vertices, number(0)), out(3 * count);
      for (int64_t b = 0; b < bones; b++) {
        int64_t joint = (b + 3) % 4, first = 6 + (b - 1) / 4 * 4;
        bool bends = b > 0 && b < bones - 1 && joint > 0;
        number angle = bends ? in[joint == 1 ? first : first + joint] : number(0);
        number turn = bends && joint == 1 ? in[first + 1] : number(0);
        number sx = sin(angle), cx = cos(angle), sz = sin(turn), cz = cos(turn);
        std::array<number, 16> bend = {cz, -sz * cx, sz * sx, 0, sz, cz * cx, -cz * sx, 0, 0, sx, cx, 0, 0, 0, 0, 1};
        absolutes[b] = times(relatives + 16 * b, bend);
        if (parents[b] >= 0) absolutes[b] = times(absolutes[parents[b]], absolutes[b]);
        auto t = times(absolutes[b], inverses + 16 * b);
        for (int i = 0; i < 3; i++)
          for (int64_t v = 0; v < vertices; v++) {
            number sum = 0;
            for (int k = 0; k < 4; k++) sum += t[4 * i + k] * base[k * vertices + v];
            skin[i * vertices + v] += weights[b * vertices + v] * sum;
          }
      }
      number norm = sqrt(in[0] * in[0] + in[1] * in[1] + in[2] * in[2]), s = sin(norm), c = cos(norm);
      number r[3] = {in[0] / norm, in[1] / norm, in[2] / norm};
      number cross[9] = {0, -r[2], r[1], r[2], 0, -r[0], -r[1], r[0], 0};
      for (int64_t p = 0; p < count; p++)
        for (int i = 0; i < 3; i++) {
          number place = in[3 + i];
          for (int j = 0; j < 3; j++) {
            number turned = r[i] * r[j] * (1.0 - c) + s * cross[3 * i + j];
            if (i == j) turned += c;
            place += (j == 0 ? mirror : 1.0) * turned * skin[j * vertices + seen[p]];
          }
          out[3 * p + i] = points[3 * p + i] - place;
        }
      return out;
    });
    tape->optimize();
  }
  doubles found = tape->Forward(0, x), directions(all * all);
  std::copy(found.begin(), found.end(), errors);
  for (int64_t k = 0; k < all; k++) directions[k * all + k] = 1;
  doubles tangents = tape->Forward(1, all, directions);
  for (int64_t k = 0; k < all; k++)
    for (int64_t i = 0; i < 3 * count; i++) jacobian[k * 3 * count + i] = tangents[i * all + k];
}
