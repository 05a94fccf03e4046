"""Which scheduler options are tried, with how many steps. Every option that changes a number has a case of its own."""

SPACINGS = ["linspace", "leading", "trailing"]
PREDICTIONS = ["epsilon", "sample", "v_prediction"]
BETAS = [0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.2, 0.3]
STABLE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


class Cases(list):
    def add(self, name: str, steps: int | list[int] = 4, call: dict | None = None, step: dict | None = None, **config):
        """One case per step count. `call` goes to set_timesteps, `step` to every step."""
        for count in steps if isinstance(steps, list) else [steps]:
            suffix = f"_{count}" if isinstance(steps, list) else ""
            self.append({"name": name + suffix, "steps": count, "config": config, "call": call or {}, "step": step or {}})


def schedules(cases: Cases) -> None:
    """What DDIM, DDPM, DPM-Solver and Euler share: the noise schedule and the choice of timesteps."""
    cases.add("default", [1, 2, 4, 10, 20, 50])
    cases.add("betas", beta_start=0.0005, beta_end=0.03)
    cases.add("scaled_linear", **STABLE)
    cases.add("squaredcos", 10, beta_schedule="squaredcos_cap_v2")
    cases.add("trained_betas", 3, trained_betas=BETAS, num_train_timesteps=10)
    cases.add("train_400", [4, 7], num_train_timesteps=400)
    for spacing in SPACINGS:
        # 7 and 30 do not divide 1000.
        cases.add(f"spacing_{spacing}", [1, 4, 7, 30], timestep_spacing=spacing)
    cases.add("offset_leading", [1, 4, 20], timestep_spacing="leading", steps_offset=1)
    cases.add("offset_trailing", timestep_spacing="trailing", steps_offset=1)
    for prediction in PREDICTIONS:
        cases.add(f"predict_{prediction}", 5, prediction_type=prediction)
    cases.add("zero_snr_v", [1, 5], rescale_betas_zero_snr=True, timestep_spacing="trailing", prediction_type="v_prediction")
    cases.add("zero_snr_scaled", 5, rescale_betas_zero_snr=True, prediction_type="v_prediction", **STABLE)


def thresholds(cases: Cases, clip: dict) -> None:
    cases.add("threshold", thresholding=True, **clip)
    cases.add("threshold_ratio", thresholding=True, dynamic_thresholding_ratio=0.6, sample_max_value=1.5, **clip)


def clips(cases: Cases) -> None:
    cases.add("no_clip", [4, 20], clip_sample=False)
    cases.add("clip_range", clip_sample_range=0.4)
    thresholds(cases, {})


def ddim() -> Cases:
    cases = Cases()
    schedules(cases)
    clips(cases)
    for prediction in PREDICTIONS:
        cases.add(f"no_clip_{prediction}", clip_sample=False, prediction_type=prediction)
    cases.add("alpha_not_one", [1, 4], set_alpha_to_one=False)
    cases.add("alpha_not_one_no_clip", clip_sample=False, set_alpha_to_one=False, steps_offset=1)
    # ᾱ is zero at the first timestep: x₀ is infinite there and only the clip makes it finite.
    cases.add("zero_snr_epsilon", 5, rescale_betas_zero_snr=True, timestep_spacing="trailing")
    cases.add("stable_diffusion", 20, clip_sample=False, set_alpha_to_one=False, steps_offset=1, **STABLE)
    cases.add("eta_half", 5, step={"eta": 0.5})
    cases.add("eta_one", 5, step={"eta": 1.0}, clip_sample=False)
    return cases


def ddpm() -> Cases:
    cases = Cases()
    schedules(cases)
    clips(cases)
    cases.add("sigmoid", beta_schedule="sigmoid")
    cases.add("laplace", beta_schedule="laplace")
    for variance in ["fixed_small", "fixed_small_log", "fixed_large"]:
        cases.add(f"variance_{variance}", [1, 4, 20], variance_type=variance)
    for variance in ["learned", "learned_range"]:
        cases.add(f"variance_{variance}", variance_type=variance)
    cases.add("full", 50, num_train_timesteps=50, beta_end=0.3)
    return cases


def dpm_solver() -> Cases:
    cases = Cases()
    schedules(cases)
    thresholds(cases, {})
    cases.add("threshold_sample", thresholding=True, prediction_type="sample")
    old = {"algorithm_type": "dpmsolver", "final_sigmas_type": "sigma_min"}
    for order in [1, 2, 3]:
        cases.add(f"order{order}", [1, 2, 3, 5, 16, 20], solver_order=order)
        cases.add(f"order{order}_no_lower", [3, 6, 16], solver_order=order, lower_order_final=False)
        cases.add(f"order{order}_sigma_min", [4, 16], solver_order=order, final_sigmas_type="sigma_min")
        no_lower = {"final_sigmas_type": "sigma_min", "lower_order_final": False}
        cases.add(f"order{order}_sigma_min_no_lower", 5, solver_order=order, **no_lower)
        cases.add(f"order{order}_euler_at_final", [5, 16], solver_order=order, euler_at_final=True, final_sigmas_type="sigma_min")
        cases.add(f"order{order}_sde", [4, 16], solver_order=order, algorithm_type="sde-dpmsolver++")
        cases.add(f"order{order}_dpmsolver", [4, 16], solver_order=order, **old)
        cases.add(f"order{order}_flow", [1, 5], solver_order=order, use_flow_sigmas=True, prediction_type="flow_prediction")
    cases.add("heun", [4, 16], solver_type="heun")
    cases.add("heun_sde", 5, solver_type="heun", algorithm_type="sde-dpmsolver++")
    cases.add("heun_dpmsolver", 5, solver_type="heun", **old)
    for prediction in PREDICTIONS:
        cases.add(f"dpmsolver_{prediction}", prediction_type=prediction, **old)
        cases.add(f"sde_{prediction}", prediction_type=prediction, algorithm_type="sde-dpmsolver++")
    cases.add("dpmsolver_threshold", thresholding=True, **old)
    sde_old = {"algorithm_type": "sde-dpmsolver", "final_sigmas_type": "sigma_min"}
    cases.add("sde_dpmsolver", [4, 16], **sde_old)
    cases.add("sde_dpmsolver_heun", solver_type="heun", **sde_old)
    for sigmas in ["karras", "exponential", "beta"]:
        option = {f"use_{sigmas}_sigmas": True}
        cases.add(sigmas, [1, 4, 20], **option)
        cases.add(f"{sigmas}_squaredcos", 5, beta_schedule="squaredcos_cap_v2", **option)
        cases.add(f"{sigmas}_sigma_min", 5, final_sigmas_type="sigma_min", **option)
        cases.add(f"{sigmas}_order3_stable", 10, solver_order=3, **STABLE, **option)
    cases.add("lu", [1, 4, 20], use_lu_lambdas=True)
    cases.add("lu_squaredcos", 5, use_lu_lambdas=True, beta_schedule="squaredcos_cap_v2")
    cases.add("lambda_clipped", [5, 10], beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1)
    for spacing in SPACINGS:
        cases.add(f"lambda_clipped_{spacing}", 5, lambda_min_clipped=-4.0, timestep_spacing=spacing)
    flow = {"use_flow_sigmas": True, "prediction_type": "flow_prediction"}
    cases.add("flow", [1, 2, 4, 10, 20], **flow)
    cases.add("flow_shift", [4, 20], flow_shift=3.0, **flow)
    cases.add("flow_sigma_min", final_sigmas_type="sigma_min", **flow)
    cases.add("flow_sde", algorithm_type="sde-dpmsolver++", **flow)
    cases.add("flow_heun", 5, solver_type="heun", flow_shift=2.0, **flow)
    cases.add("flow_dynamic", call={"mu": 0.8}, use_dynamic_shifting=True, **flow)
    cases.add("flow_dynamic_without_mu", use_dynamic_shifting=True, flow_shift=2.0, **flow)
    # The variance channels are cut to three here: only right for three-channel samples, so pipelines never reach it.
    return cases


def euler() -> Cases:
    cases = Cases()
    schedules(cases)
    cases.add("log_linear", [1, 4, 20], interpolation_type="log_linear")
    for sigmas in ["karras", "exponential", "beta"]:
        option = {f"use_{sigmas}_sigmas": True}
        cases.add(sigmas, [1, 4, 20], **option)
        cases.add(f"{sigmas}_stable_leading", 5, timestep_spacing="leading", steps_offset=1, **STABLE, **option)
        cases.add(f"{sigmas}_range", 5, sigma_min=0.05, sigma_max=20.0, **option)
        cases.add(f"{sigmas}_final_sigma_min", final_sigmas_type="sigma_min", **option)
    cases.add("sigma_min", [1, 4], final_sigmas_type="sigma_min")
    cases.add("continuous", 5, timestep_type="continuous", prediction_type="v_prediction", use_karras_sigmas=True)
    cases.add("continuous_epsilon", 5, timestep_type="continuous")
    cases.add("stable_diffusion", [20, 50], timestep_spacing="leading", steps_offset=1, **STABLE)
    cases.add("trailing_zero_snr", 5, timestep_spacing="trailing", rescale_betas_zero_snr=True)
    cases.add("churn", 5, step={"s_churn": 1.5, "s_noise": 1.1})
    return cases


def flow_match() -> Cases:
    cases = Cases()
    cases.add("default", [1, 2, 4, 10, 20, 50])
    cases.add("shift", [1, 4, 20], shift=3.0)
    cases.add("shift_small", shift=0.5)
    cases.add("train_400", [4, 7], num_train_timesteps=400, shift=2.0)
    for kind in ["exponential", "linear"]:
        cases.add(f"dynamic_{kind}", [1, 4, 20], call={"mu": 0.8}, use_dynamic_shifting=True, time_shift_type=kind)
    cases.add("dynamic_ignores_shift", call={"mu": 1.15}, use_dynamic_shifting=True, shift=3.0)
    cases.add("terminal", [2, 4, 20], shift_terminal=0.1)
    cases.add("terminal_dynamic", call={"mu": 0.8}, use_dynamic_shifting=True, shift_terminal=0.02)
    for sigmas in ["karras", "exponential", "beta"]:
        cases.add(sigmas, [1, 4, 20], **{f"use_{sigmas}_sigmas": True})
        cases.add(f"{sigmas}_shift", 5, shift=3.0, **{f"use_{sigmas}_sigmas": True})
    cases.add("invert", invert_sigmas=True)
    cases.add("stochastic", [1, 4], stochastic_sampling=True)
    cases.add("stochastic_shift", 5, stochastic_sampling=True, shift=3.0)
    return cases
