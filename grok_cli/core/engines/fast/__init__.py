"""The fast engine: the model's function and gradients from the same parameters, for less work.

The answer is read at the last position and the first layer sees only 2p + 1 different tokens, so
most of the plain form's arithmetic is repeated or unused. Two forms leave it out:

- the factored form below, for one layer without norms after attention or MLP, and cross-entropy
  (`factors.py` and `by_hand.py` form the factors, `rows.py` computes the rows);
- for all other models what still holds of it (`layers.py`): the first layer's attention by
  steps 1 and 2, and the last layer's MLP and unembedding at the last position only.

What computes them on a CPU is `run.kernels` (`choice.py`): torch, products by oneDNN
(`products.py`), or besides compiled passes over the rows of the factored form (`kernels.py`, which
`compiled.py` calls in place of `rows.py`).

Derivation of the factored form. Indices: h head, t token (a, b or "=" at its position).

1. Tables. x_t = embedding + position; keys k_ht, values v_ht and queries depend on t alone, norms
   before them included. Only "=" asks, so the scores s_ht = q_h= . k_ht / sqrt(k) are a table of
   H (2p + 1) numbers, and a row's attention weights are

       w_ha = exp(s_ha) / (exp(s_ha) + exp(s_hb) + exp(s_h=)),   w_hb likewise.

2. Attention is a short sum. The weights of a, b and "=" add up to 1, so head h collects
   v_h= + sum over t = a, b of w_ht (v_ht - v_h=). With O the output projection (O_h its columns
   of head h), the residual stream at "=" after attention is r = x_= + O v, and whatever reads it
   linearly is a sum of 2H + 1 table lines:

       B r + c = A_0 + sum over h and t = a, b of w_ht A_ht,
       A_ht = B O_h (v_ht - v_h=),      A_0 = B (x_= + O v_=) + c.

3. What reads r linearly are the MLP's inputs W_in r + b_in and, past the MLP, the logits. With U
   the unembedding times output_scaling and V = U W_out,

       logits = U (r + W_out act(W_in r + b_in) + b_out) = (U r + U b_out) + V act(W_in r + b_in),

   so that B stacks W_in and U, and V act(...) is the only matrix product that rows need.

4. A norm before the MLP with gain g and bias n gives the inputs

       W_in (g * C r / sigma + n) + b_in = (W_in diag(g) C) r / sigma + (W_in n + b_in),

   where C = I - 1 1^T / d centres (RMSNorm: C = I) and sigma^2 = |C r|^2 / d + eps. B then stacks
   W_in diag(g) C, C and U, and each row is divided by its sigma.

5. Backwards, let D be the gradient of a row's sum B r + c. Then

       dA_ht = sum over the rows with t of w_ht D,   dw_ht = A_ht . D,   dV = dlogits^T act(...),

   and the norm with y = (W_in diag(g) C) r and z = C r adds, from the gradient e of the inputs,

       dy = e / sigma,     dz = -(e . y) z / (d sigma^3).

   A, w and V are functions of the parameters by ordinary operations on small matrices, through
   which autograd takes their gradients to the parameters with `run.kernels: torch`.

6. The other kernels do that by hand. With z_ht = v_ht - v_h= and W = B O, of which W_h are the
   columns of head h, step 2 says A_ht = W_h z_ht and A_0 = W v_= + B x_= + c. Hence

       dz_ht = W_h^T dA_ht,            dv_ht = dz_ht,     dv_= = W^T dA_0 - sum over t of dz_ht,
       dW_h = sum over t of dA_ht z_ht^T + dA_0 v_h=^T,   dc = dA_0,
       dB = dW O^T + dA_0 x_=^T,       dO = B^T dW,       dx_= = B^T dA_0 and what follows.

   The softmax of step 1 gives ds_ht = w_ht (dw_ht - sum over t of w_ht dw_ht) for each row, with
   dw_h= = 0, and their sums over the rows with t give dk_ht = ds_ht q_h= / sqrt(k) and dq_h= =
   sum over t of ds_ht k_ht / sqrt(k). What is linear in x_t, with matrix M, gives dM = sum over t
   of d(M x_t) x_t^T and adds M^T d(M x_t) to dx_t; embedding and positions are added up over the
   tokens that have them. Of B and c, W_in, b_in and U are lines, U b_out and (step 4)
   P = W_in diag(g) C products: with G = dP C,

       dW_in = G diag(g) + db n^T,     dg = sum over the lines of G * W_in,      dn = W_in^T db,
       dU = (its lines of dB) + dV W_out^T + dc_U b_out^T,    dW_out = U^T dV,   db_out = U^T dc_U,

   where db is the gradient of the bias W_in n + b_in and dc_U the part of dc that belongs to U; a
   tied unembedding adds dU to the embedding's gradient.

At the published sizes a row takes 605,000 multiply-adds in the plain form, 138,496 with step 3
alone, and 64,000 with sums in place of the product B r.
"""
